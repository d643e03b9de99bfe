/** One backend: what it is, how it does, and its buttons. */

import { notify, notifyError } from "../announce.js";
import { ask, segment } from "../api.js";
import { confirm } from "../dialog.js";
import { count, decimal, duration, elapsed, percent, plural, words } from "../format.js";
import { html, nothing, svg } from "../html.js";
import { backendBadges } from "../parts/badge.js";
import { link } from "../route.js";
import { changed, now, state } from "../store.js";

/** @typedef {import("../types.js").BackendRow} BackendRow */

const SHOWN_MODELS = 4;
/** @type {Record<string, string>} */
const SOURCES = {
  static: "from the configuration",
  manual: "added",
  local: "found on this computer",
  peer: "found at an address of the configuration",
  mdns: "announced on the network",
};
/** Backends that something is being done to, by id. */
const busy = new Map();

/** @param {BackendRow} one */
export function card(one) {
  const origin = SOURCES[one.source] ?? one.source;
  return html`<article class="panel card" aria-label="Backend ${one.name}" data-backend=${one.name}>
    <div class="title">
      <h2>${one.name}</h2>
      ${backendBadges(one)} <span class="muted small">for ${elapsed(now() - one.since_at)}</span>
    </div>
    ${one.reason ? html`<p class="reason ${one.status === "healthy" ? "muted" : "bad"}">${one.reason}</p>` : nothing}
    <div class="origin">
      ${one.type}${one.version ? ` ${one.version}` : ""}${one.cloud ? ", cloud" : ""}${one.keyed ? ", with a key" : ""}
      · <code>${one.url}</code> ·
      ${origin}${one.source === "static" || one.source === "manual" || !one.found_by ? "" : ` (${one.found_by})`}
      · priority ${one.priority}
    </div>
    ${models(one)} ${figures(one)} ${note(one)} ${buttons(one)}
  </article>`;
}

/** @param {BackendRow} one */
function models(one) {
  const all = (state.models?.models ?? []).filter(
    (model) => !model.alias_of && model.backends.some((pair) => pair.backend === one.name),
  );
  if (!one.models) return html`<div class="small muted">No model is known</div>`;
  return html`<ul class="chips" aria-label="${plural(one.models, "model")}">
    ${all.slice(0, SHOWN_MODELS).map((model) => html`<li class="chip">${model.id}</li>`)}
    ${
      one.models > Math.min(all.length, SHOWN_MODELS)
        ? html`<li>
            <a class="chip" href=${link("models", "", { q: one.name })}
              >${all.length ? `${count(one.models - Math.min(all.length, SHOWN_MODELS))} more` : plural(one.models, "model")}</a
            >
          </li>`
        : nothing
    }
  </ul>`;
}

/** @param {BackendRow} one */
function figures(one) {
  return html`<dl class="figures">
      <div>
        <dt>In flight</dt>
        <dd>${count(one.in_flight)} <small>of ${plural(one.slots, "slot")}</small>${load(one)}</dd>
      </div>
      <div>
        <dt>Requests</dt>
        <dd>${decimal(one.requests_per_second)} <small>/s</small></dd>
      </div>
      <div>
        <dt>Tokens</dt>
        <dd>${decimal(one.tokens_per_second)} <small>/s</small></dd>
      </div>
      <div>
        <dt>First byte</dt>
        <dd>${duration(one.first_byte_p50)} <small>p50</small></dd>
      </div>
      <div>
        <dt>First byte</dt>
        <dd>${duration(one.first_byte_p95)} <small>p95</small></dd>
      </div>
      <div class="errors">
        <dt>Errors</dt>
        <dd class=${one.errors ? "warn" : ""}>
          ${count(one.errors)} <small>of ${count(one.attempts)}</small>
        </dd>
      </div>
    </dl>
    ${failures(one)} ${busyLine(one)}`;
}

/** @param {BackendRow} one */
function busyLine(one) {
  if (!(one.busy_seconds > 0)) return nothing;
  return html`<p class="reason warn">Busy: left alone for ${elapsed(Math.ceil(one.busy_seconds))} more.</p>`;
}

/** @param {BackendRow} one */
function load(one) {
  const part = one.slots ? Math.min(1, one.in_flight / one.slots) : 0;
  return html`<svg class="load" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
    ${svg`
    <rect class="track" width="100" height="6"/><rect class="fill ${part >= 1 ? "full" : ""}" width=${part * 100} height="6"/>`}
  </svg>`;
}

/** @param {BackendRow} one */
function failures(one) {
  const kinds = Object.entries(one.failures).filter(([, number]) => number > 0);
  if (!kinds.length) return nothing;
  return html`<p class="note">
    Failed attempts${one.attempts ? ` (${percent(one.errors / one.attempts)})` : ""}:
    ${kinds.map(([kind, number]) => `${count(number)} ${words(kind)}`).join(", ")}
  </p>`;
}

/** @param {BackendRow} one */
function note(one) {
  const text = one.leaving ? leavingText(one) : one.draining ? drainingText(one) : "";
  return text ? html`<p class="note">${text}</p>` : nothing;
}

/** @param {BackendRow} one */
function leavingText(one) {
  const when = one.in_flight ? `its last ${plural(one.in_flight, "request")} ended` : "it is idle";
  return `Removed as soon as ${when}.`;
}

/** @param {BackendRow} one */
function drainingText(one) {
  const left = one.in_flight
    ? `${plural(one.in_flight, "request is", "requests are")} still running.`
    : "Nothing runs there: it can be stopped.";
  return `It gets no new requests. ${left}`;
}

/** @param {BackendRow} one */
function buttons(one) {
  const other = one.draining
    ? button(one, "Enable", () => drain(one, false))
    : button(one, "Drain", () => drain(one, true));
  return html`<div class="buttons">
    ${button(one, busy.get(one.id) === "check" ? "Checking …" : "Check", () => check(one))} ${other}
    ${one.source === "manual" ? button(one, "Remove", () => remove(one), "danger") : whyKept(one)}
  </div>`;
}

/**
 * A button that is off stays where it is in the order of focus: somebody may be standing on it.
 *
 * @param {BackendRow} one
 * @param {string} word
 * @param {() => void} action
 * @param {string} [look]
 */
function button(one, word, action, look = "") {
  const off = busy.has(one.id) || one.leaving;
  const click = () => {
    if (!off) action();
  };
  return html`<button
    class="button small ${look}"
    aria-disabled=${off ? "true" : nothing}
    aria-label="${word} ${one.name}"
    @click=${click}
  >
    ${word}
  </button>`;
}

/** @param {BackendRow} one one that cannot be removed here */
function whyKept(one) {
  const why = one.source === "static" ? "Removed in the configuration." : "Found again if removed: drain it.";
  return html`<span class="note">${why}</span>`;
}

/**
 * @param {BackendRow} one
 * @param {string} action
 * @param {() => Promise<string>} work its result is what the operator is told
 */
async function act(one, action, work) {
  busy.set(one.id, action);
  changed();
  try {
    notify(await work());
  } catch (error) {
    notifyError(error);
  }
  busy.delete(one.id);
  changed();
}

/** @param {BackendRow} one */
const check = (one) =>
  act(one, "check", async () => {
    const view = await ask("POST", `/admin/backends/${segment(one.id)}/check`);
    return `${one.name} answered: ${view.check.status}${view.check.reason ? `, ${view.check.reason}` : ""}.`;
  });

/**
 * @param {BackendRow} one
 * @param {boolean} draining
 */
const drain = (one, draining) =>
  act(one, "drain", async () => {
    const view = await ask("PATCH", `/admin/backends/${segment(one.id)}`, { drain: draining });
    const said = draining ? `${one.name} gets no new requests.` : `${one.name} gets requests again.`;
    return view.note ? `${said} ${view.note}` : said;
  });

/** @param {BackendRow} one */
async function remove(one) {
  const running = one.in_flight
    ? ` ${plural(one.in_flight, "running request ends", "running requests end")} first.`
    : "";
  if (
    !(await confirm(
      `Remove ${one.name}?`,
      `Nexus forgets ${one.url}, also for its next start.${running}`,
      "Remove",
    ))
  )
    return;
  await act(one, "remove", async () => {
    const answer = await ask("DELETE", `/admin/backends/${segment(one.id)}?drain=true`);
    return answer.deleted
      ? `${one.name} is removed.`
      : `${one.name} leaves as soon as its last request has ended.`;
  });
}
