/** Requests: those that run, those that ended, and the explanation of the one that is picked. */

import { notify, notifyError } from "../announce.js";
import { ask, segment } from "../api.js";
import { clock, count, duration, elapsed, plural, UNKNOWN } from "../format.js";
import { html, live, nothing, repeat } from "../html.js";
import { outcomeBadge, runningBadge } from "../parts/badge.js";
import { copyLine } from "../parts/copy.js";
import { short, tokens } from "../parts/request.js";
import { link, replace, route } from "../route.js";
import { changed, now, state } from "../store.js";
import { detailView } from "./request-detail.js";
import { finished, loadOlder, want } from "./requests-data.js";

/** @typedef {import("../types.js").Running} Running */
/** @typedef {import("../types.js").Summary} Summary */

/** Ids of running requests that are being cancelled. */
const cancelling = new Set();

export function requestsView() {
  const filter = current();
  want(filter);
  return html`<div class="head"><h1 tabindex="-1">Requests</h1></div>
    <div class="split ${route.item ? "with-detail" : ""}">
      <div class="list">${runningPanel()}${finishedPanel(filter)}</div>
      ${route.item ? html`<div class="detail panel">${detailView(route.item, link("requests", "", filter))}</div>` : nothing}
    </div>`;
}

/** @returns {import("./requests-data.js").Filter} what the place in the hash filters by */
function current() {
  const of = (/** @type {string} */ name) => route.query.get(name) ?? "";
  return { q: of("q"), model: of("model"), backend: of("backend"), outcome: of("outcome") };
}

function runningPanel() {
  const running = state.fleet?.running ?? [];
  return html`<section class="panel" aria-labelledby="running">
    <h2 id="running">Running <span class="muted">${running.length}</span></h2>
    ${
      running.length
        ? html`<table class="stack wide" role="table">
            <caption class="visually-hidden">
              Running requests
            </caption>
            <thead role="rowgroup">
              <tr role="row">
                ${["Request", "Model", "Backend", "State", "Elapsed", "Tokens"].map(
                  (name) => html` <th scope="col" role="columnheader">${name}</th>`,
                )}
                <th scope="col" role="columnheader"><span class="visually-hidden">Action</span></th>
              </tr>
            </thead>
            <tbody role="rowgroup">
              ${repeat(running, (one) => `${one.id} ${one.started_at}`, runningRow)}
            </tbody>
          </table>`
        : html`<p class="muted">Nothing is running.</p>`
    }
  </section>`;
}

/** @param {Running} one */
function runningRow(one) {
  const seconds = now() - one.started_at;
  return html`<tr role="row" class=${one.id === route.item ? "picked" : ""}>
    <th scope="row" role="rowheader">
      <a class="mono" href=${link("requests", one.id, current())}>${short(one.id)}</a>
      <div class="small muted">${one.surface}${one.client ? `, from ${one.client}` : ""}</div>
    </th>
    <td role="cell" class="name" data-label="Model">${one.model || UNKNOWN}</td>
    <td role="cell" class="name" data-label="Backend">${one.backend || UNKNOWN}</td>
    <td role="cell" data-label="State">
      <div>
        ${runningBadge(one.state)}${one.attempts > 1 ? html` <span class="small warn">attempt ${one.attempts}</span>` : nothing}
      </div>
    </td>
    <td role="cell" data-label="Elapsed" class="nowrap">${elapsed(seconds)}</td>
    <td role="cell" data-label="Tokens" class="nowrap">${one.streamed ? count(one.tokens) : UNKNOWN}</td>
    <td role="cell">
      <button
        class="button small danger"
        ?disabled=${cancelling.has(one.id)}
        aria-label="Cancel request ${short(one.id)} for ${one.model}"
        @click=${() => cancel(one.id)}
      >
        ${cancelling.has(one.id) ? "Cancelling …" : "Cancel"}
      </button>
    </td>
  </tr>`;
}

/** @param {string} id */
async function cancel(id) {
  cancelling.add(id);
  changed();
  try {
    await ask("POST", `/admin/requests/${segment(id)}/cancel`);
    notify("The request is cancelled; its client is told so.");
  } catch (error) {
    notifyError(error);
  }
  cancelling.delete(id);
  changed();
}

/** @param {import("./requests-data.js").Filter} filter */
function finishedPanel(filter) {
  const some = finished.rows.length > 0;
  const filtered = Object.values(filter).some(Boolean);
  return html`<section class="panel" aria-labelledby="finished">
    <h2 id="finished">Finished</h2>
    ${some || filtered ? filters(filter) : nothing}
    ${finished.problem ? html`<p class="error-text" role="alert">${finished.problem}</p>` : nothing}
    ${some ? finishedTable() : filtered ? noMatch() : empty()}
    ${finished.more ? html`<p><button class="button small" @click=${() => loadOlder()}>Show older ones</button></p>` : nothing}
    ${some ? html`<p class="muted small">${kept()}</p>` : nothing}
  </section>`;
}

function noMatch() {
  return html`<p class="muted">
    No request that is kept matches. <a href=${link("requests", route.item)}>Show all</a>
  </p>`;
}

function kept() {
  const forgotten = finished.forgotten ? `; ${count(finished.forgotten)} older ones are no longer kept` : "";
  return `${plural(finished.rows.length, "request")} shown${forgotten}.`;
}

function empty() {
  const base = state.fleet?.base_url ?? "http://127.0.0.1:6398/v1";
  return html`<p>No request has ended yet. Point an OpenAI client at this base URL:</p>
    ${copyLine(base)}
    <p><a href=${link("try")}>Or try it here</a></p>`;
}

/** @param {import("./requests-data.js").Filter} filter */
function filters(filter) {
  const models = (state.models?.models ?? []).map((model) => model.id);
  const backends = (state.fleet?.backends ?? []).map((one) => one.name);
  const set = (/** @type {string} */ name) => (/** @type {Event} */ event) =>
    replace(
      link("requests", route.item, {
        ...current(),
        [name]: /** @type {HTMLInputElement} */ (event.target).value,
      }),
    );
  return html`<div class="filters" role="search" aria-label="Finished requests">
    <div class="field wide">
      <label for="find-request">Find</label>
      <input
        id="find-request"
        type="search"
        placeholder="id, model, backend or error"
        .value=${live(filter.q)}
        @input=${set("q")}
      />
    </div>
    ${picker(
      "Outcome",
      "outcome",
      [
        ["", "all"],
        ["ok", "answered"],
        ["failed", "failed"],
      ],
      filter.outcome,
      set("outcome"),
    )}
    ${picker("Model", "model", choices(models, filter.model), filter.model, set("model"))}
    ${picker("Backend", "backend", choices(backends, filter.backend), filter.backend, set("backend"))}
  </div>`;
}

/**
 * @param {string[]} names
 * @param {string} picked listed even when nobody has it any more
 * @returns {[string, string][]}
 */
function choices(names, picked) {
  const all = picked && !names.includes(picked) ? [...names, picked] : names;
  return [["", "all"], .../** @type {[string, string][]} */ (all.map((name) => [name, name]))];
}

/**
 * @param {string} label
 * @param {string} name
 * @param {[string, string][]} options
 * @param {string} value
 * @param {(event: Event) => void} handler
 */
function picker(label, name, options, value, handler) {
  return html`<div class="field">
    <label for="pick-${name}">${label}</label
    ><select id="pick-${name}" @change=${handler}>
      ${options.map(([key, text]) => html`<option value=${key} .selected=${live(key === value)}>${text}</option>`)}
    </select>
  </div>`;
}

function finishedTable() {
  return html`<table class="stack" role="table">
    <caption class="visually-hidden">
      Finished requests, newest first
    </caption>
    <thead role="rowgroup">
      <tr role="row">
        <th scope="col" role="columnheader">Time</th>
        <th scope="col" role="columnheader">Status</th>
        <th scope="col" role="columnheader">Model</th>
        <th scope="col" role="columnheader">Backend</th>
        <th scope="col" role="columnheader" class="secondary">First byte</th>
        <th scope="col" role="columnheader">Total</th>
        <th scope="col" role="columnheader" class="secondary">Tokens</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${repeat(finished.rows, (row) => row.seq, finishedRow)}
    </tbody>
  </table>`;
}

/** @param {Summary} row */
function finishedRow(row) {
  const place = link("requests", row.id, current());
  const other = row.served_model && row.served_model !== row.model;
  return html`<tr
    role="row"
    class="open-able ${row.id === route.item ? "picked" : ""}"
    @click=${() => {
      location.hash = place;
    }}
  >
    <th scope="row" role="rowheader" class="nowrap">
      <a href=${place} aria-label="Request ${short(row.id)} at ${clock(row.started_at)}: why it went there"
        >${clock(row.started_at)}</a
      >
    </th>
    <td role="cell" data-label="Status">
      <div>
        ${outcomeBadge(row)}${row.error ? html`<div class="small muted">${row.error}</div>` : nothing}
      </div>
    </td>
    <td role="cell" class="name" data-label="Model">
      <div>
        ${row.model || UNKNOWN}${other ? html`<div class="small muted">served: ${row.served_model}</div>` : nothing}
      </div>
    </td>
    <td role="cell" class="name" data-label="Backend">
      <div>
        ${row.backend || UNKNOWN}
        ${row.attempts > 1 ? html`<div class="small warn">${plural(row.attempts, "attempt")}</div>` : nothing}
      </div>
    </td>
    <td role="cell" data-label="First byte" class="nowrap secondary">${duration(row.first_byte_seconds)}</td>
    <td role="cell" data-label="Total" class="nowrap">${duration(row.seconds)}</td>
    <td role="cell" data-label="Tokens" class="nowrap secondary">${tokens(row)}</td>
  </tr>`;
}
