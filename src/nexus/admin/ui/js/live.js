/** The stream of events: opened, watched, and opened again by itself. */

import { announce } from "./announce.js";
import { ask } from "./api.js";
import { plural } from "./format.js";
import { state, update } from "./store.js";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 15_000;
// Nexus sends a state at least each 5 s: after a laptop slept, a dead connection may look open.
const SILENCE_MS = 20_000;
const TOPICS = /** @type {const} */ (["state", "models", "requests", "traffic"]);

/** @type {EventSource|null} */
let source = null;
let delay = FIRST_RETRY_MS;
let heardAt = 0;
/** @type {ReturnType<typeof setTimeout>|undefined} */
let retry;
/** @type {Record<string, ((data: any) => void)[]>} */
const listeners = { open: [] };

/**
 * @param {"open"|typeof TOPICS[number]} name an event; `open` comes with each new connection
 * @param {(data: any) => void} handler
 */
export function onEvent(name, handler) {
  (listeners[name] ??= []).push(handler);
}

/** Open the stream, in place of one that is open. */
export function connect() {
  disconnect();
  heardAt = Date.now();
  const own = (source = new EventSource("/admin/events"));
  own.addEventListener("open", opened);
  own.addEventListener("error", () => failed(own));
  for (const topic of TOPICS) {
    own.addEventListener(topic, (event) => heard(topic, JSON.parse(event.data)));
  }
}

/** Close the stream, and do not open it again. */
export function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function opened() {
  delay = FIRST_RETRY_MS;
  heardAt = Date.now();
  if (state.connection === "lost") announce("The connection to Nexus is back.");
  update({ connection: "open", lostAt: 0, retryAt: 0 });
  for (const handler of listeners.open) handler(null);
}

/** @param {EventSource} own the one that failed */
function failed(own) {
  if (own !== source) return;
  lost();
  // While it is CONNECTING the browser tries again by itself; a refusal closes it for good.
  if (own.readyState !== EventSource.CLOSED) return;
  clearTimeout(retry);
  retry = setTimeout(again, delay);
  update({ retryAt: Date.now() + delay });
  delay = Math.min(delay * 2, LONGEST_RETRY_MS);
}

function lost() {
  if (state.connection === "lost") return;
  announce("The connection to Nexus is lost. Trying again.");
  update({ connection: "lost", lostAt: Date.now() / 1000 });
}

/** Ask first who we are: somebody who must log in is not helped by trying again. */
async function again() {
  try {
    const session = await ask("GET", "/admin/session");
    if (!session.authenticated) {
      disconnect();
      update({ session, connection: "connecting" });
      return;
    }
  } catch {
    // Nexus is not there yet: the next failure of the stream waits longer.
  }
  connect();
}

/** Try at once, because somebody asked for it. */
export function retryNow() {
  delay = FIRST_RETRY_MS;
  clearTimeout(retry);
  void again();
}

/**
 * @param {typeof TOPICS[number]} topic
 * @param {any} data
 */
function heard(topic, data) {
  heardAt = Date.now();
  if (topic === "state") takeState(data);
  if (topic === "models") update({ models: data });
  for (const handler of listeners[topic] ?? []) handler(data);
}

/** @param {import("./types.js").FleetState} fleet */
function takeState(fleet) {
  if (state.fleet) announceChanges(state.fleet, fleet);
  update({ fleet, clockOffset: fleet.now_at - Date.now() / 1000 });
}

/**
 * Say what an operator would want to hear, and no more: who came, went, fell and rose.
 *
 * @param {import("./types.js").FleetState} before
 * @param {import("./types.js").FleetState} after
 */
function announceChanges(before, after) {
  const old = new Map(before.backends.map((one) => [one.id, one]));
  const said = [];
  for (const one of after.backends) {
    const was = old.get(one.id);
    if (!was) said.push(`${one.name} is new.`);
    else if (was.status !== one.status) said.push(`${one.name} is ${one.status}.`);
    old.delete(one.id);
  }
  for (const gone of old.values()) said.push(`${gone.name} is gone.`);
  if (said.length > 4) announce(`${plural(said.length, "backend")} changed.`);
  else if (said.length) announce(said.join(" "));
}

setInterval(() => {
  if (!source || source.readyState !== EventSource.OPEN || Date.now() - heardAt < SILENCE_MS) return;
  lost();
  connect();
}, 5000);
