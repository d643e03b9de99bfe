/** Adding a backend: first look at what it is, then decide. */

import { notify } from "../announce.js";
import { ask } from "../api.js";
import { closeDialog, openDialog } from "../dialog.js";
import { html, nothing } from "../html.js";
import { changed } from "../store.js";

const TYPES = [
  "ollama",
  "vllm",
  "llamacpp",
  "lmstudio",
  "exo",
  "sglang",
  "localai",
  "tgi",
  "openai",
  "nexus",
  "generic",
];
const FEW_MODELS = 8;

/** @type {import("../types.js").Detection|null} */
let seen = null;
let seenUrl = "";
let problem = { text: "", param: "" };
/** @type {""|"look"|"add"} */
let busy = "";

/** Open the form. */
export async function addBackend() {
  seen = null;
  problem = { text: "", param: "" };
  busy = "";
  await openDialog(form);
}

function form() {
  return html`<h2 id="dialog-title">Add a backend</h2>
    <form class="fields" @submit=${submit} @input=${edited}>
      <div class="field">
        <label for="add-url">Address</label>
        <input
          id="add-url"
          name="url"
          required
          autofocus
          autocomplete="off"
          spellcheck="false"
          placeholder="192.168.1.20:11434"
          aria-describedby="add-url-hint"
          aria-invalid=${problem.param === "url" ? "true" : nothing}
        />
        <p class="hint" id="add-url-hint">As Nexus reaches it: host and port are enough.</p>
      </div>
      <div aria-live="polite">
        ${busy === "look" ? html`<p class="verdict">Asking it …</p>` : seen ? verdict(seen) : nothing}
      </div>
      <details>
        <summary>Name, type, priority, slots, key</summary>
        ${options()}
      </details>
      ${problem.text ? html`<p class="error-text" role="alert">${problem.text}</p>` : nothing}
      <div class="buttons">
        ${seen ? addButton(seen) : html`<button class="button primary" ?disabled=${Boolean(busy)}>See what it is</button>`}
        <button type="button" class="button" @click=${() => closeDialog()}>Cancel</button>
      </div>
    </form>`;
}

/** @param {import("../types.js").Detection} found */
function addButton(found) {
  const label = found.reachable && found.serves ? "Add it" : "Add it anyway";
  return html`<button class="button primary" ?disabled=${Boolean(busy)}>
    ${busy === "add" ? "Adding …" : label}
  </button>`;
}

function options() {
  return html`<div class="fields two">
    ${field("name", "Name", "made from the address")}
    <div class="field">
      <label for="add-type">Type</label>
      <select id="add-type" name="type">
        <option value="">as detected</option>
        ${TYPES.map((type) => html`<option>${type}</option>`)}
      </select>
    </div>
    ${field("priority", "Priority", "50; lower is preferred", "number")}
    ${field("slots", "Slots", "as it says", "number")}
    ${field("api_key_env", "Variable with its key", "RACK_KEY")}
    <p class="hint muted small">
      A key stays where Nexus runs: give the name of an environment variable that is set there.
    </p>
  </div>`;
}

/**
 * @param {string} name
 * @param {string} label
 * @param {string} placeholder
 * @param {string} [type]
 */
function field(name, label, placeholder, type = "text") {
  return html`<div class="field">
    <label for="add-${name}">${label}</label>
    <input
      id="add-${name}"
      name=${name}
      type=${type}
      min=${type === "number" ? 0 : nothing}
      autocomplete="off"
      placeholder=${placeholder}
    />
  </div>`;
}

/** @param {import("../types.js").Detection} found */
function verdict(found) {
  if (!found.reachable) {
    return html`<div class="verdict warn" data-verdict="silent">
      <p><strong>Nothing answers there.</strong> ${found.evidence}</p>
      <p>You can add it all the same: it is used as soon as it answers.</p>
    </div>`;
  }
  if (!found.serves) {
    return html`<div class="verdict bad" data-verdict="other">
      <p><strong>This is no inference server that Nexus knows.</strong> ${found.evidence}</p>
      <p>Correct the address, or say with its type what it is.</p>
    </div>`;
  }
  const shown = found.models.slice(0, FEW_MODELS);
  const more = found.models.length - shown.length;
  return html`<div class="verdict good" data-verdict="serves">
    <p>
      <strong
        >${found.type ?? "An OpenAI-compatible server"}${found.version ? ` ${found.version}` : ""}.</strong
      >
      ${found.evidence}
    </p>
    ${
      shown.length
        ? html`<ul class="chips" aria-label="Models">
            ${shown.map((id) => html`<li class="chip">${id}</li>`)}
            ${more ? html`<li class="muted small">and ${more} more</li>` : nothing}
          </ul>`
        : html`<p>It lists no model now.</p>`
    }
  </div>`;
}

/** @param {InputEvent} event another address is another server */
function edited(event) {
  const field = /** @type {HTMLInputElement} */ (event.target);
  if (field.name !== "url" || !seen || field.value.trim() === seenUrl) return;
  seen = null;
  changed();
}

/** @param {SubmitEvent} event */
async function submit(event) {
  event.preventDefault();
  if (busy) return;
  const values = filled(/** @type {HTMLFormElement} */ (event.currentTarget));
  busy = seen ? "add" : "look";
  problem = { text: "", param: "" };
  changed();
  try {
    if (busy === "look") {
      seen = await ask("POST", "/admin/detect", values);
      seenUrl = String(values.url);
    } else {
      const view = await ask("POST", "/admin/backends", values);
      notify(
        `${view.name} is added: ${view.status}${view.reason ? `, ${view.reason}` : ""}.${view.note ? ` ${view.note}` : ""}`,
      );
      closeDialog("added");
    }
  } catch (error) {
    problem = {
      text: error instanceof Error ? error.message : String(error),
      param: String(/** @type {any} */ (error).param ?? ""),
    };
  }
  busy = "";
  changed();
}

/**
 * @param {HTMLFormElement} form
 * @returns {Record<string, string|number>} what was filled in
 */
function filled(form) {
  /** @type {Record<string, string|number>} */
  const values = {};
  for (const [name, raw] of new FormData(form)) {
    const text = String(raw).trim();
    if (text) values[name] = name === "priority" || name === "slots" ? Number(text) : text;
  }
  return values;
}
