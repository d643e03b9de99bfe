/** A state in a word, with a shape and a colour beside it. */

import { html, svg } from "../html.js";

const SHAPES = {
  good: svg`<circle cx="5" cy="5" r="4.5"/>`,
  warn: svg`<path d="M5 .5 9.8 9.5H.2Z"/>`,
  bad: svg`<path d="M1 1h8v8H1z"/>`,
  accent: svg`<path d="M5 0 10 5 5 10 0 5Z"/>`,
  plain: svg`<circle cx="5" cy="5" r="3.5" fill="none" stroke="currentColor" stroke-width="2"/>`,
};

/** @typedef {keyof typeof SHAPES} Tone */

/**
 * @param {string} word
 * @param {Tone} [tone]
 */
export function badge(word, tone = "plain") {
  return html`<span class="badge ${tone}"
    ><svg viewBox="0 0 10 10" aria-hidden="true">${SHAPES[tone]}</svg>${word}</span
  >`;
}

/** @type {Record<string, Tone>} */
const STATUS = { healthy: "good", loading: "warn", unauthorized: "bad", unhealthy: "bad" };

/** @param {{status: string, draining: boolean, leaving: boolean}} backend */
export function backendBadges(backend) {
  const more = backend.leaving ? badge("leaving", "warn") : backend.draining ? badge("drained", "warn") : "";
  return html`${badge(backend.status, STATUS[backend.status] ?? "plain")} ${more}`;
}

/** @param {import("../types.js").Summary} one a request that ended */
export function outcomeBadge(one) {
  if (one.client_closed) return badge("client left", "warn");
  if (one.error || one.status >= 400) return badge(String(one.status || "failed"), "bad");
  return badge(String(one.status), "good");
}

/** @param {string} state what a running request does */
export function runningBadge(state) {
  return badge(state, state === "answering" ? "accent" : "plain");
}
