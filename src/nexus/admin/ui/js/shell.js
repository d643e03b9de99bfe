/** The frame: bar, navigation, banner, the open view, notices. */

import { noticesView } from "./announce.js";
import { ask } from "./api.js";
import { clock } from "./format.js";
import { html, nothing } from "./html.js";
import { disconnect, retryNow } from "./live.js";
import { link, route } from "./route.js";
import { state } from "./store.js";
import { nextTheme, theme } from "./theme.js";
import { fleetView } from "./views/fleet.js";
import { modelsView } from "./views/models.js";
import { requestsView } from "./views/requests.js";
import { trafficView } from "./views/traffic.js";
import { tryView } from "./views/try.js";

/** @type {Record<string, {name: string, view: () => unknown}>} */
const VIEWS = {
  fleet: { name: "Fleet", view: fleetView },
  models: { name: "Models", view: modelsView },
  traffic: { name: "Traffic", view: trafficView },
  requests: { name: "Requests", view: requestsView },
  try: { name: "Try it", view: tryView },
};

/** @returns {string} what the tab says: what is down comes first */
export function title() {
  if (!state.session?.authenticated) return "Nexus";
  const down = state.fleet?.backends.filter(
    (one) => one.status !== "healthy" && one.status !== "unknown",
  ).length;
  const alarm = state.connection === "lost" ? "(no connection) " : down ? `(${down} down) ` : "";
  return `${alarm}${VIEWS[route.view].name} · Nexus`;
}

/** The whole page of somebody who may see it. */
export function shell() {
  return html` <button class="button skip" @click=${() => document.querySelector("main")?.focus()}>
      Skip to the content
    </button>
    <header class="bar">
      <div class="brand">
        <img src="/ui/icon.svg" alt="" width="24" height="24" />Nexus
        <small>${state.fleet?.version ?? ""}</small>
      </div>
      <nav class="tabs" aria-label="Views">
        ${Object.entries(VIEWS).map(
          ([id, { name }]) =>
            html` <a href=${link(id)} aria-current=${id === route.view ? "page" : nothing}>${name}</a>`,
        )}
      </nav>
      <div class="tools">${connectionMark()}${themeButton()}${logoutButton()}</div>
    </header>
    ${banner()}
    <main tabindex="-1">${VIEWS[route.view].view()}</main>
    ${noticesView()}`;
}

function connectionMark() {
  const words = { connecting: "Connecting", open: "Live", lost: "No connection" };
  return html`<span class="pulse ${state.connection}">${words[state.connection]}</span>`;
}

function themeButton() {
  const names = { system: "System", dark: "Dark", light: "Light" };
  const name = names[theme()];
  return html`<button
    class="button quiet small"
    @click=${nextTheme}
    aria-label="Colours: ${name}. Change"
    title="Change the colours"
  >
    <span class="wide-only">Theme:&nbsp;</span>${name}
  </button>`;
}

function logoutButton() {
  if (!state.session?.needs_token) return nothing;
  return html`<button class="button quiet small" @click=${logout}>Log out</button>`;
}

async function logout() {
  disconnect();
  try {
    await ask("DELETE", "/admin/session");
  } finally {
    location.reload();
  }
}

function banner() {
  if (state.connection === "lost") {
    const seconds = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
    const when = seconds ? `Trying again in ${seconds} s.` : "Trying again …";
    return html`<div class="banner" data-banner="lost">
      <span>No connection to Nexus since ${clock(state.lostAt)}. What you see is from then. ${when}</span>
      <button class="button small" @click=${retryNow}>Try now</button>
    </div>`;
  }
  if (state.fleet?.draining) {
    return html`<div class="banner calm">
      Nexus is shutting down: running requests end, new ones are turned away.
    </div>`;
  }
  return nothing;
}
