/** A request in a few characters. */

import { count, UNKNOWN } from "../format.js";

/** @param {{prompt_tokens: number|null, completion_tokens: number|null, estimated: boolean}} one */
export function tokens(one) {
  if (one.prompt_tokens == null && one.completion_tokens == null) return UNKNOWN;
  const out = `${one.estimated ? "about " : ""}${count(one.completion_tokens)} out`;
  return one.prompt_tokens == null ? out : `${count(one.prompt_tokens)} in, ${out}`;
}

/** @param {string} id */
export const short = (id) => (id.length > 12 ? `${id.slice(0, 10)}…` : id);
