/** Models: who has which, how large, what it can do, and by which other names. */

import { count, decimal, duration, elapsed, plural, words } from "../format.js";
import { html, live, nothing, repeat } from "../html.js";
import { badge } from "../parts/badge.js";
import { capabilityList, known } from "../parts/capabilities.js";
import { waiting } from "../parts/waiting.js";
import { link, replace, route } from "../route.js";
import { state } from "../store.js";

/** @typedef {import("../types.js").Model} Model */
/** @typedef {import("../types.js").Pair} Pair */

export function modelsView() {
  const known = state.models;
  const query = route.query.get("q") ?? "";
  return html`<div class="head"><h1 tabindex="-1">Models</h1></div>
    ${known?.models.length ? table(known, query) : known ? empty() : waiting()}
    ${known ? rules(known.routing) : nothing}`;
}

/** @param {InputEvent} event */
function find(event) {
  replace(link("models", "", { q: /** @type {HTMLInputElement} */ (event.target).value }));
}

function empty() {
  return html`<section class="panel empty">
    <h2>No model yet</h2>
    <p>
      Models come with their backends.
      ${
        state.fleet?.backends.length
          ? "No backend lists one: load or pull a model there, and it appears here at the next check."
          : "There is no backend yet."
      }
    </p>
    <a class="button" href=${link("fleet")}>See the fleet</a>
  </section>`;
}

/**
 * @param {import("../types.js").ModelsState} known
 * @param {string} query
 */
function table(known, query) {
  const wanted = query.toLowerCase();
  const models = known.models.filter(
    (model) =>
      !model.alias_of &&
      `${model.id} ${model.backends.map((pair) => `${pair.backend} ${pair.native_id}`).join(" ")}`
        .toLowerCase()
        .includes(wanted),
  );
  return html`<div class="filters">
      <div class="field wide">
        <label for="find-model">Find</label>
        <input
          id="find-model"
          type="search"
          placeholder="model or backend"
          .value=${live(query)}
          @input=${find}
        />
      </div>
      <p class="muted small" role="status">${plural(models.length, "model")}</p>
    </div>
    <div class="panel">
      <table class="stack wide" role="table">
        <caption class="visually-hidden">
          Models, with the backends that have them
        </caption>
        <thead role="rowgroup">
          <tr role="row">
            ${["Model", "Backend", "Loaded", "Context", "Capabilities", "Speed", "Now"].map(
              (name) => html` <th scope="col" role="columnheader">${name}</th>`,
            )}
          </tr>
        </thead>
        ${repeat(models, (model) => model.id, modelRows)}
      </table>
    </div>
    ${models.length ? nothing : html`<p class="muted">No model or backend has “${query}” in its name.</p>`}`;
}

/** @param {Model} model */
function modelRows(model) {
  const rows = Math.max(1, model.backends.length);
  return html`<tbody role="rowgroup" data-model=${model.id}>
    ${repeat(
      model.backends,
      (pair) => pair.backend,
      (pair, index) =>
        html`<tr role="row">
          ${
            index
              ? nothing
              : html`<th scope="rowgroup" role="rowheader" rowspan=${rows}>
                  ${model.id} ${model.available ? nothing : badge("not available", "bad")}
                  <div class="small muted"><a href=${link("try", "", { model: model.id })}>Try it</a></div>
                </th>`
          }
          ${pairCells(model, pair)}
        </tr>`,
    )}
  </tbody>`;
}

/**
 * @param {Model} model
 * @param {Pair} pair
 */
function pairCells(model, pair) {
  const native =
    pair.native_id !== model.id ? html`<div class="small muted">as ${pair.native_id}</div>` : nothing;
  return html` <td role="cell" class="name" data-label="Backend"><div>${pair.backend}${native}</div></td>
    <td role="cell" data-label="Loaded">${known(pair.loaded)}</td>
    <td role="cell" data-label="Context" class="nowrap">${context(pair)}</td>
    <td role="cell" class="whole" data-label="Capabilities">${capabilityList(pair.capabilities)}</td>
    <td role="cell" data-label="Speed" class="small"><div>${speed(pair)}</div></td>
    <td role="cell" data-label="Now" class="small"><div>${present(pair)}</div></td>`;
}

/** @param {Pair} pair */
function context(pair) {
  if (pair.context_length != null)
    return html`<span>${count(pair.context_length)} <span class="muted small">tokens</span></span>`;
  if (pair.context_assumed != null) {
    return html`<span
      ><span class="muted">unknown</span><br /><span class="muted small"
        >trained for ${count(pair.context_assumed)}</span
      ></span
    >`;
  }
  return html`<span class="muted">unknown</span>`;
}

/** @param {Pair} pair */
function speed(pair) {
  const facts = [];
  if (pair.first_byte_seconds != null) facts.push(`first byte ${duration(pair.first_byte_seconds)}`);
  if (pair.tokens_per_second != null) facts.push(`${decimal(pair.tokens_per_second)} tokens/s`);
  if (!facts.length) return html`<span class="muted">unmeasured</span>`;
  return facts.map((fact) => html`<div class="nowrap">${fact}</div>`);
}

/** @param {Pair} pair */
function present(pair) {
  const facts = [];
  if (pair.in_flight) facts.push(html`<div>${pair.in_flight} in flight</div>`);
  if (pair.busy_seconds > 0) {
    facts.push(html`<div class="warn">busy for ${elapsed(Math.ceil(pair.busy_seconds))}</div>`);
  }
  if (pair.resting_seconds > 0) {
    const cause = pair.rest_cause ? `: ${words(pair.rest_cause)}` : "";
    facts.push(
      html`<div class="warn">ranks last for ${elapsed(Math.ceil(pair.resting_seconds))}${cause}</div>`,
    );
  }
  return facts.length ? facts : html`<span class="muted">idle</span>`;
}

/** @param {import("../types.js").Routing} routing */
function rules(routing) {
  return html`<div class="rules">
    <section class="panel">
      <h2>Aliases</h2>
      ${namesTable(routing.aliases)}
      ${routing.default_model ? html`<p class="muted small">Requests without a model get ${routing.default_model}.</p>` : nothing}
    </section>
    <section class="panel">
      <h2>Fallback chains</h2>
      ${chains(routing.fallbacks)}
    </section>
    <section class="panel">
      <h2>Choice</h2>
      <p>Strategy <strong>${routing.strategy.replaceAll("_", " ")}</strong>.</p>
      ${
        routing.strategy === "smart"
          ? html`<dl class="pairs">
              <dt>Priority</dt>
              <dd>${routing.weights.priority}</dd>
              <dt>Free slots</dt>
              <dd>${routing.weights.load}</dd>
              <dt>Speed</dt>
              <dd>${routing.weights.latency}</dd>
            </dl>`
          : nothing
      }
    </section>
  </div>`;
}

/** @param {Record<string, string>} aliases */
function namesTable(aliases) {
  const rows = Object.entries(aliases);
  if (!rows.length)
    return html`<p class="muted">
      None. A client that asks for <code>gpt-4</code> can be given another model:
      <code>[routing.aliases]</code>.
    </p>`;
  return html`<dl class="pairs">
    ${rows.map(
      ([alias, model]) =>
        html`<dt><code>${alias}</code></dt>
          <dd>${model}</dd>`,
    )}
  </dl>`;
}

/** @param {Record<string, string[]>} fallbacks */
function chains(fallbacks) {
  const rows = Object.entries(fallbacks);
  if (!rows.length)
    return html`<p class="muted">
      None. <code>[routing.fallbacks]</code> names models to take when one cannot serve.
    </p>`;
  return html`<ul>
    ${rows.map(
      ([model, chain]) => html`<li><strong>${model}</strong>${chain.map((next) => `, then ${next}`)}</li>`,
    )}
  </ul>`;
}
