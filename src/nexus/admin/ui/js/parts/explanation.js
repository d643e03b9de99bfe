/** Why a request went where it went: one table for each decision, one line for each attempt. */

import { decimal, duration, plural, UNKNOWN, words } from "../format.js";
import { html, nothing, svg } from "../html.js";
import { badge } from "./badge.js";

/** @typedef {import("../types.js").Explanation} Explanation */
/** @typedef {import("../types.js").Candidate} Candidate */

/**
 * @param {Explanation} decision
 * @param {string} [heading] where there are several
 */
export function explanationView(decision, heading = "") {
  const ranked = decision.candidates
    .filter((one) => one.rank != null)
    .sort((a, b) => Number(a.rank) - Number(b.rank));
  const refused = decision.candidates.filter((one) => one.rank == null);
  return html` ${heading ? html`<h4>${heading}</h4>` : nothing}
    <p class="answer-line">${sentence(decision, ranked)}</p>
    ${names(decision)}
    ${decision.candidates.length ? candidatesTable(decision, [...ranked, ...refused]) : nothing}
    ${ranked.some((one) => one.terms) ? legend(decision) : nothing}`;
}

/**
 * The whole answer in one sentence.
 *
 * @param {Explanation} decision
 * @param {Candidate[]} ranked
 */
function sentence(decision, ranked) {
  const refused = decision.candidates.length - ranked.length;
  if (decision.refusal) return html`<strong class="bad">Nobody could serve it:</strong> ${decision.refusal}`;
  const chosen = decision.candidates.find((one) => one.chosen) ?? ranked[0];
  if (!chosen) return "Nothing is decided yet.";
  const others =
    ranked.length > 1
      ? `, the best of ${ranked.length} by strategy ${words(decision.strategy)}`
      : refused
        ? ", the only one that could serve it"
        : ", the only one that has it";
  const out = refused ? `; ${plural(refused, "other was", "others were")} refused` : "";
  return html`<strong>${chosen.backend}</strong>${others}${out}.`;
}

/** @param {Explanation} decision how the name led to a model */
function names(decision) {
  const facts = [];
  if (decision.model && decision.model !== decision.requested)
    facts.push(`'${decision.requested}' stands for '${decision.model}'.`);
  if (decision.fallback) facts.push("A fallback model served.");
  if (decision.pinned) facts.push("The name names its backend, so no other one is asked.");
  if (decision.chain.length > 1) facts.push(`Models in order: ${decision.chain.join(", ")}.`);
  if (decision.reason) facts.push(`Reason: ${words(decision.reason)}.`);
  return facts.length ? html`<p class="muted">${facts.join(" ")}</p>` : nothing;
}

/**
 * @param {Explanation} decision
 * @param {Candidate[]} candidates
 */
function candidatesTable(decision, candidates) {
  return html`<table class="stack wide" role="table">
    <caption class="visually-hidden">
      Candidates for ${decision.requested || "this request"}
    </caption>
    <thead role="rowgroup">
      <tr role="row">
        <th scope="col" role="columnheader">Backend</th>
        <th scope="col" role="columnheader">Rank</th>
        <th scope="col" role="columnheader">Score, or why refused</th>
        <th scope="col" role="columnheader">Busy</th>
        <th scope="col" role="columnheader">First byte</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${candidates.map(candidateRow)}
    </tbody>
  </table>`;
}

/** @param {Candidate} one */
function candidateRow(one) {
  return html`<tr role="row">
    <th scope="row" role="rowheader">
      ${one.backend} ${one.chosen ? badge("chosen", "good") : one.tried ? badge("tried", "warn") : nothing}
      <div class="small muted">${one.model}</div>
    </th>
    <td role="cell" data-label="Rank">${one.rank ?? badge("refused", "bad")}</td>
    <td role="cell" class="whole" data-label=${one.rank == null ? "Why" : "Score"}>
      ${one.rank == null ? refusals(one) : score(one)}
    </td>
    <td role="cell" data-label="Busy" class="nowrap">
      ${one.in_flight == null ? UNKNOWN : `${one.in_flight} of ${one.slots}`}
    </td>
    <td role="cell" data-label="First byte" class="nowrap">
      ${one.rank != null && one.first_byte_seconds == null ? "unmeasured" : duration(one.first_byte_seconds)}
    </td>
  </tr>`;
}

/** @param {Candidate} one */
function refusals(one) {
  if (!one.rejections.length)
    return html`<span class="muted">${one.tried ? "tried before" : "not considered"}</span>`;
  return html`<div class="refusals">
    ${one.rejections.map(
      (rejection) =>
        html` <p>
          ${rejection.message}
          <span class="muted small"
            >${rejection.kind === "transient" ? "Waiting may help." : "Waiting will not help."}
            (${words(rejection.policy)})</span
          >
        </p>`,
    )}
  </div>`;
}

/** @param {Candidate} one */
function score(one) {
  const notes = [
    one.unsure ? "a capability is unknown, so it ranks lower" : "",
    one.resting ? "rests after a failure, so it ranks last" : "",
  ];
  const said = notes.filter(Boolean).join("; ");
  return html`<div>
    ${one.score == null ? html`<span class="muted">no score</span>` : html`<strong>${decimal(one.score)}</strong>`}
    ${one.terms ? html`<span class="muted small">= ${sum(one.terms)}</span>${bar(one.terms)}` : nothing}
    ${said ? html`<div class="small warn">${said}</div>` : nothing}
  </div>`;
}

/** @param {{priority: number, load: number, latency: number}} terms */
function sum({ priority, load, latency }) {
  return `${decimal(priority)} priority + ${decimal(load)} load + ${decimal(latency)} latency`;
}

/** @param {{priority: number, load: number, latency: number}} terms points of 100 */
function bar(terms) {
  const [a, b, c] = [terms.priority, terms.load, terms.latency].map((points) => Math.max(0, points));
  return html`<svg class="terms" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
    ${svg`
    <rect class="track" width="100" height="8"/>
    <rect class="priority" width=${a} height="8"/>
    <rect class="load-term" x=${a} width=${b} height="8"/>
    <rect class="latency" x=${a + b} width=${c} height="8"/>`}
  </svg>`;
}

/** @param {Explanation} decision */
function legend({ weights }) {
  const rows = /** @type {const} */ ([
    ["priority", "priority", weights.priority],
    ["load-term", "free slots", weights.load],
    ["latency", "speed of the first byte", weights.latency],
  ]);
  return html`<div class="legend">
    ${rows.map(
      ([name, text, most]) =>
        html` <span
          ><svg class="swatch ${name}" viewBox="0 0 10 10" aria-hidden="true">
            <rect width="10" height="10" /></svg
          >${text}, at most ${decimal(most)}</span
        >`,
    )}
  </div>`;
}

/** @param {import("../types.js").Try[]} tries */
export function attemptsTable(tries) {
  return html`<table class="stack" role="table">
    <caption class="visually-hidden">
      Attempts, in order
    </caption>
    <thead role="rowgroup">
      <tr role="row">
        <th scope="col" role="columnheader">Backend</th>
        <th scope="col" role="columnheader">Outcome</th>
        <th scope="col" role="columnheader">First byte</th>
        <th scope="col" role="columnheader">Total</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${tries.map(
        (one, index) =>
          html`<tr role="row">
            <th scope="row" role="rowheader">
              ${index + 1}. ${one.backend}
              <div class="small muted">as ${one.model}</div>
            </th>
            <td role="cell" class="whole" data-label="Outcome">
              ${one.failure ? badge(words(one.failure), "bad") : badge("answered", "good")}
              ${one.status ? html`<span class="muted small">status ${one.status}</span>` : nothing}
              ${one.message ? html`<div class="small">${one.message}</div>` : nothing}
              ${one.sent ? nothing : html`<div class="small muted">nothing was sent</div>`} ${retryAfter(one)}
            </td>
            <td role="cell" data-label="First byte" class="nowrap">${duration(one.first_byte_seconds)}</td>
            <td role="cell" data-label="Total" class="nowrap">${duration(one.seconds)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

/** @param {import("../types.js").Try} one */
function retryAfter(one) {
  if (one.retry_after == null) return nothing;
  return html`<div class="small muted">asked to come back in ${duration(one.retry_after)}</div>`;
}
