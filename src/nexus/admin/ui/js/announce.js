/** Telling people: a polite line for screen readers, and notices that everybody sees. */

import { html, nothing, repeat } from "./html.js";
import { changed } from "./store.js";

const SHOWN_MS = 6000;
const PAUSE_MS = 700;

/** @type {string[]} */
const queue = [];
let speaking = false;

/** @param {string} text read aloud by a screen reader when it is idle; said once */
export function announce(text) {
  if (!queue.includes(text)) queue.push(text);
  if (!speaking) speak();
}

function speak() {
  const text = queue.splice(0).join(" ");
  const place = document.getElementById("announcer");
  speaking = Boolean(text);
  if (!text || !place) return;
  place.textContent = text;
  setTimeout(speak, PAUSE_MS);
}

/** @type {{id: number, text: string, error: boolean}[]} */
let notices = [];
let last = 0;

/**
 * @param {string} text
 * @param {boolean} [error] stays until it is dismissed
 */
export function notify(text, error = false) {
  const id = ++last;
  notices = [...notices.filter((one) => one.text !== text), { id, text, error }].slice(-3);
  if (!error) setTimeout(() => dismiss(id), SHOWN_MS);
  announce(text);
  changed();
}

/** @param {unknown} error what an action ended in */
export function notifyError(error) {
  notify(error instanceof Error ? error.message : String(error), true);
}

/** @param {number} id */
function dismiss(id) {
  notices = notices.filter((one) => one.id !== id);
  changed();
}

/** The notices, in a corner. */
export function noticesView() {
  if (!notices.length) return nothing;
  return html`<section class="notices" aria-label="Notices">
    ${repeat(
      notices,
      (one) => one.id,
      (one) =>
        html` <div class="notice ${one.error ? "error" : ""}">
          <p>${one.text}</p>
          <button
            class="button quiet small"
            @click=${() => dismiss(one.id)}
            aria-label="Dismiss: ${one.text}"
          >
            Dismiss
          </button>
        </div>`,
    )}
  </section>`;
}
