/** What the page knows, in one place; whoever changes it has it drawn once, before the next frame. */

/**
 * @typedef {"connecting"|"open"|"lost"} Connection
 *
 * @type {{
 *   session: import("./types.js").Session|null,
 *   unreachable: string,
 *   connection: Connection,
 *   lostAt: number,
 *   retryAt: number,
 *   fleet: import("./types.js").FleetState|null,
 *   models: import("./types.js").ModelsState|null,
 *   clockOffset: number,
 * }}
 */
export const state = {
  session: null,
  unreachable: "",
  connection: "connecting",
  lostAt: 0,
  retryAt: 0,
  fleet: null,
  models: null,
  clockOffset: 0,
};

let draw = () => {};
let waiting = false;

/** @param {() => void} drawer what draws the page */
export function onChange(drawer) {
  draw = drawer;
}

/** Have the page drawn; several changes in one frame are one drawing. */
export function changed() {
  if (waiting) return;
  waiting = true;
  const once = () => {
    if (!waiting) return;
    waiting = false;
    draw();
  };
  requestAnimationFrame(once);
  // A tab in the background gets no frames, and its title still says what is down.
  setTimeout(once, 250);
}

/** @param {Partial<typeof state>} values what is known now */
export function update(values) {
  Object.assign(state, values);
  changed();
}

/** @returns {number} Unix seconds by the clock of Nexus, whatever this computer's says */
export function now() {
  return Date.now() / 1000 + state.clockOffset;
}
