/** What a model can do: yes, no or unknown, each in words. */

import { html, nothing } from "../html.js";

const NAMES = /** @type {const} */ ({
  chat: "chat",
  tools: "tools",
  json: "JSON",
  vision: "vision",
  remote_image: "image URLs",
  audio: "audio",
  embeddings: "embeddings",
});

/** @param {boolean|null|undefined} value */
export const known = (value) => (value == null ? "unknown" : value ? "yes" : "no");

/** @param {import("../types.js").Capabilities} capabilities those that are known first */
export function capabilityList(capabilities) {
  return html`<dl class="capabilities">
    ${["yes", "no", "unknown"].map((value) => {
      const names = Object.keys(NAMES).filter((key) => known(capabilities[key]) === value);
      if (!names.length) return nothing;
      return html`<div>
        <dt class=${value}>${value}</dt>
        <dd>${names.map((key) => NAMES[/** @type {keyof typeof NAMES} */ (key)]).join(", ")}</dd>
      </div>`;
    })}
  </dl>`;
}
