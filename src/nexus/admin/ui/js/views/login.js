/** Before anything is seen: the token, or why there is no way in. */

import { ask } from "../api.js";
import { html, nothing } from "../html.js";
import { changed, state } from "../store.js";

let problem = "";
let busy = false;

/** @param {() => void} entered called when the token was right */
export function loginView(entered) {
  return html`<main class="login panel">
    <div class="brand">
      <img src="/ui/icon.svg" alt="" width="24" height="24" />Nexus <small>${state.session?.version}</small>
    </div>
    ${state.session?.needs_token ? form(entered) : closed()}
  </main>`;
}

/** @param {() => void} entered */
function form(entered) {
  return html`<h1>Log in</h1>
    <p class="muted">
      The dashboard shows who asks what, and changes backends. It opens with the administration's token.
    </p>
    <form @submit=${(/** @type {SubmitEvent} */ event) => submit(event, entered)}>
      <div class="field">
        <label for="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          autocomplete="current-password"
          required
          autofocus
          aria-describedby="token-hint"
          aria-invalid=${problem ? "true" : nothing}
        />
        <p class="hint" id="token-hint">
          It is in the variable that <code>[admin] token_env</code> names where Nexus runs, or was printed
          when Nexus started in a container. A client's API key is none.
        </p>
      </div>
      ${problem ? html`<p class="error-text" role="alert">${problem}</p>` : nothing}
      <button class="button primary" ?disabled=${busy}>Log in</button>
    </form>`;
}

/** Not asked for a token, and not let in: there is none to give. */
function closed() {
  return html`<h1>Only on its own computer</h1>
    <p>This Nexus lets in callers on its own computer only, that come straight to it.</p>
    <p>
      To use the dashboard from here, or through a proxy, name a variable that holds a token and start Nexus
      with it:
    </p>
    <pre class="panel">
[admin]
token_env = "NEXUS_ADMIN_TOKEN"</pre>`;
}

/**
 * @param {SubmitEvent} event
 * @param {() => void} entered
 */
async function submit(event, entered) {
  event.preventDefault();
  const field = /** @type {HTMLFormElement} */ (event.target).elements.namedItem("token");
  if (!(field instanceof HTMLInputElement)) return;
  busy = true;
  changed();
  try {
    await ask("POST", "/admin/session", { token: field.value });
    problem = "";
    entered();
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
    field.select();
  }
  field.value = "";
  field.focus();
  busy = false;
  changed();
}

/** @param {() => void} again */
export function unreachableView(again) {
  return html`<main class="login panel">
    <h1>Nexus does not answer</h1>
    <p>${state.unreachable}</p>
    <button class="button primary" @click=${again}>Try again</button>
  </main>`;
}
