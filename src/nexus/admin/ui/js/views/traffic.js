/** Traffic: the last hour as four charts, and the same as tables. */

import { ask } from "../api.js";
import { clock, count, decimal, duration, percent, plural, UNKNOWN } from "../format.js";
import { html, nothing, repeat, svg } from "../html.js";
import { onEvent } from "../live.js";
import { DASHES } from "../parts/chart.js";
import { copyLine } from "../parts/copy.js";
import { waiting } from "../parts/waiting.js";
import { link, replace, route } from "../route.js";
import { changed, now, state } from "../store.js";
import { append, extremes, FIGURES, grouped, lines } from "./traffic-data.js";

/** @typedef {import("./traffic-data.js").Line} Line */

/** @type {import("../types.js").Bucket[]|null} */
let buckets = null;
let problem = "";
/** @type {number|null} where the mouse is, as an index of the times */
let hovered = null;
/** What was drawn last, so that a tick of the clock draws nothing anew. */
let kept = { key: "", data: grouped([], "backend", 0, 0) };

/** @typedef {{times: number[], lines: Line[], format: (value: number|null) => string, most?: number}} Plot */
/** @type {WeakMap<object, Map<string, Plot>>} what was drawn, by the data it was drawn from */
const plots = new WeakMap();

/** @type {Record<string, (value: number|null) => string>} */
const FORMATS = {
  requests: (value) => (value == null ? UNKNOWN : `${decimal(value)} /s`),
  tokens: (value) => (value == null ? UNKNOWN : `${decimal(value)} /s`),
  "first-byte": duration,
  errors: (value) => (value == null ? UNKNOWN : percent(value / 100)),
};

async function load() {
  try {
    buckets = (await ask("GET", "/admin/traffic")).buckets;
    problem = "";
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  changed();
}

onEvent("open", () => void load());
onEvent("traffic", ({ bucket }) => {
  if (buckets) buckets = append(buckets, bucket);
  changed();
});

export function trafficView() {
  const by = route.query.get("by") === "model" ? "model" : "backend";
  return html`<div class="head">
      <h1 tabindex="-1">Traffic</h1>
      <span class="muted">of the last hour</span>
      <div class="end">${chooser(by)}</div>
    </div>
    ${problem ? html`<p class="error-text" role="alert">${problem}</p>` : nothing}
    ${buckets?.some((one) => one.rows.length) ? charts(buckets, by) : buckets ? empty() : waiting()}`;
}

/** @param {string} by */
function chooser(by) {
  const choices = /** @type {const} */ ([
    ["backend", "By backend"],
    ["model", "By model"],
  ]);
  return html`<fieldset class="segments">
    <legend class="visually-hidden">Lines</legend>
    ${choices.map(
      ([value, text]) =>
        html` <label
          ><input
            type="radio"
            name="by"
            value=${value}
            .checked=${by === value}
            @change=${() => replace(link("traffic", "", { by: value }))}
          />${text}</label
        >`,
    )}
  </fieldset>`;
}

function empty() {
  const base = state.fleet?.base_url ?? "http://127.0.0.1:6398/v1";
  return html`<section class="panel empty">
    <h2>No request in the last hour</h2>
    <p>Point an OpenAI client at this base URL, and its requests are drawn here ten seconds later:</p>
    ${copyLine(base)}
    <a class="button" href=${link("try")}>Or try it here</a>
  </section>`;
}

/**
 * @param {import("../types.js").Bucket[]} all
 * @param {"backend"|"model"} by
 */
function charts(all, by) {
  const data = dataOf(all, by);
  return html`${keyOf([...data.sums.keys()])}
    <div class="charts">
      ${repeat(
        FIGURES,
        (figure) => figure.id,
        (figure) => chart(figure, data, by),
      )}
    </div>`;
}

/** @returns {number} Unix seconds at which Nexus began */
const begunAt = () => (state.fleet ? state.fleet.now_at - state.fleet.uptime_seconds : 0);

/**
 * @param {import("../types.js").Bucket[]} all
 * @param {"backend"|"model"} by
 */
function dataOf(all, by) {
  const newest = all.at(-1);
  const [until, since] = [now(), begunAt()];
  const clocks = `${Math.floor(until / (newest?.seconds ?? 10))} ${Math.round(since / 10)}`;
  const key = `${by} ${newest?.at} ${all.length} ${clocks}`;
  if (kept.key !== key) kept = { key, data: grouped(all, by, until, since) };
  return kept.data;
}

/** @param {string[]} names */
function keyOf(names) {
  return html`<ul class="legend series-key" aria-label="Lines">
    ${names.map(
      (name, index) =>
        html`<li>
          <svg viewBox="0 0 22 8" class="line-${index + 1}" aria-hidden="true">
            ${svg`<path d="M0 4H22" stroke-width="2.5" stroke-dasharray=${DASHES[index].join(" ")}/>`}
          </svg>
          ${name}
        </li>`,
    )}
  </ul>`;
}

/**
 * @param {import("./traffic-data.js").Figure} figure
 * @param {ReturnType<typeof grouped>} data
 * @param {string} by
 */
function chart(figure, data, by) {
  const format = FORMATS[figure.id];
  const plot = plotOf(figure, data);
  const drawn = plot.lines;
  return html`<section class="panel" data-figure=${figure.id}>
    <h2>${figure.title} <small>${figure.unit}</small></h2>
    <div role="img" aria-label="${figure.title}, ${figure.unit}, by ${by}: ${spoken(drawn, format)}">
      <nexus-chart .plot=${plot} @hover=${hover}></nexus-chart>
    </div>
    ${readout(drawn, data.times, format)}
    <details>
      <summary>As a table</summary>
      ${table(figure, drawn, data.seconds, by)}
    </details>
  </section>`;
}

/**
 * @param {import("./traffic-data.js").Figure} figure
 * @param {ReturnType<typeof grouped>} data
 * @returns {Plot} the same one as long as the data is the same: then the chart does not draw again
 */
function plotOf(figure, data) {
  const own = plots.get(data) ?? new Map();
  plots.set(data, own);
  if (!own.has(figure.id)) {
    const most = figure.id === "errors" ? 1 : undefined;
    own.set(figure.id, { times: data.times, lines: lines(data, figure), format: FORMATS[figure.id], most });
  }
  return own.get(figure.id);
}

/** @param {CustomEvent<number|null>} event */
function hover({ detail }) {
  if (detail === hovered) return;
  hovered = detail;
  changed();
}

/**
 * What the lines are worth where the mouse is, in every chart; else the newest.
 *
 * @param {Line[]} drawn
 * @param {number[]} times
 * @param {(value: number|null) => string} format
 */
function readout(drawn, times, format) {
  const at = hovered;
  return html`<p class="readout">
    ${at == null ? "Now" : clock(times[at])}:
    ${drawn.map((line, index) => {
      const value = at == null ? extremes(line).last : line.values[at];
      return html`${index ? ", " : ""}${line.name} <b>${format(value)}</b>`;
    })}
  </p>`;
}

/**
 * @param {Line[]} drawn
 * @param {(value: number|null) => string} format
 */
function spoken(drawn, format) {
  return drawn
    .map((line) => `${line.name} now ${format(extremes(line).last)}, at most ${format(extremes(line).most)}`)
    .join("; ");
}

/**
 * @param {import("./traffic-data.js").Figure} figure
 * @param {Line[]} drawn
 * @param {number} seconds
 * @param {string} by
 */
function table(figure, drawn, seconds, by) {
  const format = FORMATS[figure.id];
  return html`<div class="scroll" role="region" aria-label="${figure.title} as a table" tabindex="0">
    <table>
      <caption class="visually-hidden">
        ${figure.title} by ${by}
      </caption>
      <thead>
        <tr>
          <th scope="col">${by === "model" ? "Model" : "Backend"}</th>
          <th scope="col" class="number">Now</th>
          <th scope="col" class="number">Average</th>
          <th scope="col" class="number">Most</th>
          <th scope="col" class="number">Requests</th>
        </tr>
      </thead>
      <tbody>
        ${drawn.map((line) => {
          const { last, most } = extremes(line);
          const length = line.values.filter((value) => value != null).length * seconds;
          return html`<tr>
            <th scope="row">${line.name}</th>
            <td class="number nowrap">${format(last)}</td>
            <td class="number nowrap">${format(length ? figure.value(line.total, length) : null)}</td>
            <td class="number nowrap">${format(most)}</td>
            <td class="number nowrap">
              ${count(line.total.requests)}<span class="visually-hidden">
                ${plural(line.total.errors, "error")}</span
              >
            </td>
          </tr>`;
        })}
      </tbody>
    </table>
  </div>`;
}
