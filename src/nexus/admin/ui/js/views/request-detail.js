/** One request: what it asked for, why it went where it went, what was tried, how long it took. */

import { ask, segment } from "../api.js";
import { clock, count, duration, elapsed, words } from "../format.js";
import { html, nothing } from "../html.js";
import { onEvent } from "../live.js";
import { outcomeBadge, runningBadge } from "../parts/badge.js";
import { attemptsTable, explanationView } from "../parts/explanation.js";
import { tokens } from "../parts/request.js";
import { route } from "../route.js";
import { changed, now } from "../store.js";

/** @typedef {import("../types.js").Detail} Detail */

/** @type {{id: string, detail: Detail|null, problem: string}} */
let shown = { id: "", detail: null, problem: "" };

/** @param {string} id */
async function load(id) {
  try {
    const detail = await ask("GET", `/admin/requests/${segment(id)}`);
    if (shown.id === id) shown = { id, detail, problem: "" };
  } catch (error) {
    if (shown.id === id)
      shown = { id, detail: null, problem: error instanceof Error ? error.message : String(error) };
  }
  changed();
}

onEvent("requests", ({ data }) => {
  if (shown.id && data.some((/** @type {Detail} */ row) => row.id === shown.id)) void load(shown.id);
});
onEvent("state", () => {
  if (route.view === "requests" && route.item === shown.id && shown.detail?.running) void load(shown.id);
});

/**
 * @param {string} id
 * @param {string} back where the list is
 */
export function detailView(id, back) {
  if (shown.id !== id) {
    shown = { id, detail: null, problem: "" };
    void load(id);
  }
  const { detail, problem } = shown;
  return html`<div class="title">
      <h2 tabindex="-1">Request <span class="mono">${id}</span></h2>
      <a class="button small" href=${back}>Close</a>
    </div>
    ${problem ? html`<p class="error-text" role="alert">${problem}</p>` : nothing}
    ${detail ? body(detail) : problem ? nothing : html`<p class="muted">Reading it …</p>`}`;
}

/** @param {Detail} detail */
function body(detail) {
  return html`<section aria-labelledby="why">
      <h3 id="why">Why there?</h3>
      ${decisions(detail)}
    </section>
    ${
      detail.tries.length
        ? html`<section aria-labelledby="tries">
            <h3 id="tries">Attempts</h3>
            ${attemptsTable(detail.tries)}
          </section>`
        : nothing
    }
    <section aria-labelledby="needs">
      <h3 id="needs">What it needed</h3>
      ${needs(detail)}
    </section>
    <section aria-labelledby="ended">
      <h3 id="ended">${detail.running ? "So far" : "How it ended"}</h3>
      ${facts(detail)}
    </section>`;
}

/** @param {{decisions: import("../types.js").Explanation[]}} detail the newest decision first: it is the answer */
export function decisions({ decisions }) {
  if (!decisions.length) return html`<p class="muted">It was refused before anything was decided.</p>`;
  const last = decisions.length - 1;
  return html`${explanationView(decisions[last], last ? `Decision ${last + 1}` : "")}
  ${
    last
      ? html`<details>
          <summary>Earlier decisions (${last})</summary>
          ${decisions.slice(0, last).map((one, index) => explanationView(one, `Decision ${index + 1}`))}
        </details>`
      : nothing
  }`;
}

/** @param {Detail} detail */
function needs({ needs }) {
  if (!needs) return html`<p class="muted">Its body could not be read.</p>`;
  const wanted = ["vision", "remote_image", "audio", "tools", "json", "embeddings"].filter(
    (name) => needs[name] === true,
  );
  const bytes = Number(needs.text_bytes ?? 0);
  return html`<dl class="pairs">
    <dt>Surface</dt>
    <dd>${needs.surface}${needs.stream ? ", streamed" : ""}</dd>
    <dt>Model</dt>
    <dd>${needs.model || "none named"}</dd>
    <dt>Prompt</dt>
    <dd>
      ${count(bytes)} bytes of text, at least ${count(Math.ceil(bytes / 6))}
      tokens${needs.images ? `, ${count(Number(needs.images))} images` : ""}
    </dd>
    <dt>Answer</dt>
    <dd>
      ${needs.max_tokens == null ? "no limit named" : `at most ${count(Number(needs.max_tokens))} tokens`}
    </dd>
    <dt>Capabilities</dt>
    <dd>${wanted.length ? wanted.map(words).join(", ") : "none in particular"}</dd>
  </dl>`;
}

/** @param {Detail} detail */
function facts(detail) {
  const timings = detail.timings ?? {};
  const total = detail.running ? elapsed(now() - detail.started_at) : duration(detail.seconds);
  return html`<dl class="pairs">
    <dt>Status</dt>
    <dd>
      ${detail.running ? runningBadge("running") : outcomeBadge(detail)}
      ${detail.error ? html`<code>${detail.error}</code>` : nothing}
    </dd>
    <dt>Served by</dt>
    <dd>${servedBy(detail)}</dd>
    <dt>Started</dt>
    <dd>${clock(detail.started_at)}</dd>
    <dt>First byte</dt>
    <dd>${duration(detail.first_byte_seconds)}</dd>
    <dt>Total</dt>
    <dd>${total}</dd>
    <dt>Tokens</dt>
    <dd>${tokens(detail)}</dd>
    <dt>Deciding</dt>
    <dd>${duration(timings.decision_seconds)}</dd>
    <dt>Nexus's own share</dt>
    <dd>${duration(timings.overhead_seconds ?? detail.overhead_seconds)}</dd>
    ${
      timings.bytes_out == null
        ? nothing
        : html`<dt>Relayed</dt>
            <dd>${count(timings.bytes_out)} bytes</dd>`
    }
  </dl>`;
}

/** @param {Detail} detail */
function servedBy(detail) {
  if (!detail.backend) return "nobody";
  const model = detail.served_model
    ? `model ${detail.served_model}${detail.fallback ? ", a fallback" : ""}`
    : "";
  return [detail.backend, detail.backend_type, model].filter(Boolean).join(", ");
}
