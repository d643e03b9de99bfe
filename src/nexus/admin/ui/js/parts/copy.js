/** A line to copy. */

import { announce } from "../announce.js";
import { html } from "../html.js";

/** @param {string} text */
export function copyLine(text) {
  return html`<div class="copy">
    <code>${text}</code>
    <button
      class="button small"
      @click=${(/** @type {MouseEvent} */ event) => copy(event, text)}
      aria-label="Copy: ${text}"
    >
      Copy
    </button>
  </div>`;
}

/**
 * @param {MouseEvent} event
 * @param {string} text
 */
async function copy(event, text) {
  const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
  const line = /** @type {HTMLElement} */ (button.previousElementSibling);
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied.");
  } catch {
    // Without https a browser may have no clipboard: then the line is selected, and Ctrl-C does it.
    getSelection()?.selectAllChildren(line);
    announce("Selected: press Control and C.");
  }
}
