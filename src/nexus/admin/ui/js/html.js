/** The one door to lit-html: templates whose values become text, never markup. */

import { repeat as repeated } from "../vendor/lit-html/directives/repeat.js";

export { html, svg, render, nothing } from "../vendor/lit-html/lit-html.js";
export { live } from "../vendor/lit-html/directives/live.js";

/**
 * Rows that keep their elements, and the focus in them, when others come and go.
 *
 * @template T
 * @typedef {(item: T, index: number) => unknown} OfItem
 */

/** @type {<T>(items: Iterable<T>, key: OfItem<T>, template: OfItem<T>) => unknown} */
export const repeat = repeated;
