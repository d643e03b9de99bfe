/** Begins: who are we, then the stream, then one drawing for each change. */

import { ask, onRefused } from "./api.js";
import { closeDialog, drawDialog } from "./dialog.js";
import { render } from "./html.js";
import { connect, disconnect } from "./live.js";
import { onRoute, route } from "./route.js";
import { shell, title } from "./shell.js";
import { changed, onChange, state, update } from "./store.js";
import { loginView, unreachableView } from "./views/login.js";

const TICK_MS = 1000;
const root = /** @type {HTMLElement} */ (document.getElementById("app"));
let begun = false;

function draw() {
  document.title = title();
  if (!state.session) {
    if (state.unreachable) show(unreachableView(begin));
    return;
  }
  show(state.session.authenticated ? shell() : loginView(begin));
  drawDialog();
}

/** @param {unknown} template */
function show(template) {
  if (!begun) root.replaceChildren();
  begun = true;
  render(template, root);
}

/** Ask who we are, and open what we may see. */
async function begin() {
  try {
    const session = await ask("GET", "/admin/session");
    update({ session, unreachable: "" });
    if (session.authenticated) connect();
  } catch (error) {
    update({ unreachable: error instanceof Error ? error.message : String(error) });
  }
}

onChange(draw);
onRefused(() => {
  disconnect();
  closeDialog();
  update({ fleet: null, models: null });
  void begin();
});
onRoute((before) => {
  if (before.view === route.view && before.item === route.item) return;
  // The next view is drawn in the next frame; then a screen reader reads its heading.
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      const heading = document.querySelector(route.item ? ".detail h2" : "main h1");
      if (heading instanceof HTMLElement) heading.focus({ preventScroll: Boolean(route.item) });
      if (before.view !== route.view) scrollTo(0, 0);
    }),
  );
});
// Elapsed times tick between two events.
setInterval(() => {
  if (!document.hidden) changed();
}, TICK_MS);
void begin();
