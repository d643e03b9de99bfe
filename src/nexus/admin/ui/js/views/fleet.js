/** Fleet: every backend, how it is, and what can be done to it. */

import { count, decimal, elapsed } from "../format.js";
import { html, nothing, repeat } from "../html.js";
import { copyLine } from "../parts/copy.js";
import { waiting } from "../parts/waiting.js";
import { now, state } from "../store.js";
import { addBackend } from "./fleet-add.js";
import { card } from "./fleet-card.js";

export function fleetView() {
  const fleet = state.fleet;
  return html` <div class="head">
      <h1 tabindex="-1">Fleet</h1>
      <div class="end">
        <button class="button primary" @click=${() => addBackend()}>Add a backend</button>
      </div>
    </div>
    ${fleet ? totals(fleet) : nothing}
    ${fleet?.backends.length ? cards(fleet) : fleet ? empty(fleet) : waiting()}`;
}

/** @param {import("../types.js").FleetState} fleet */
function totals(fleet) {
  const healthy = fleet.backends.filter((one) => one.status === "healthy").length;
  return html`<dl class="totals" aria-label="Totals">
    <div>
      <dt>Healthy</dt>
      <dd data-total="healthy">${healthy} <small>of ${fleet.backends.length}</small></dd>
    </div>
    <div>
      <dt>In flight</dt>
      <dd>${count(fleet.totals.in_flight)}</dd>
    </div>
    <div>
      <dt>Requests</dt>
      <dd>${decimal(fleet.totals.requests_per_second)} <small>/s</small></dd>
    </div>
    <div>
      <dt>Tokens</dt>
      <dd>${decimal(fleet.totals.tokens_per_second)} <small>/s</small></dd>
    </div>
    <div>
      <dt>Running for</dt>
      <dd>${elapsed(fleet.uptime_seconds + now() - fleet.now_at)}</dd>
    </div>
  </dl>`;
}

/** @param {import("../types.js").FleetState} fleet */
function cards(fleet) {
  return html`<div class="cards">${repeat(fleet.backends, (one) => one.id, card)}</div>`;
}

/** @param {import("../types.js").FleetState} fleet */
function empty(fleet) {
  const base = fleet.base_url.replace(/\/v1$/, "");
  const advice = fleet.looked.findIndex((line) => line.endsWith(":"));
  const looked = advice < 0 ? fleet.looked : fleet.looked.slice(0, advice);
  return html`<section class="panel empty">
    <h2>No backend yet</h2>
    <p>Nexus sends requests to inference servers, and knows none so far.</p>
    <ul>
      ${looked.map((line) => html`<li>${line}</li>`)}
    </ul>
    <p>Start a server on this computer, for example Ollama, and it appears here:</p>
    ${copyLine("ollama serve")}
    <p>Or name one that runs elsewhere, with the button above or in a terminal:</p>
    ${copyLine(`nexus backends add http://192.168.1.20:11434 --url ${base}`)}
    <p>No server at hand? This starts two small ones, and a gateway over them:</p>
    ${copyLine("nexus demo")}
  </section>`;
}
