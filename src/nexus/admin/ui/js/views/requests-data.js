/** The finished requests that the page holds: fetched with a filter, kept up by events. */

import { ask } from "../api.js";
import { onEvent } from "../live.js";
import { changed } from "../store.js";

/** @typedef {import("../types.js").Summary} Summary */
/** @typedef {{q: string, model: string, backend: string, outcome: string}} Filter */

const PAGE = 100;
const MOST = 500;

/** @type {{rows: Summary[], more: boolean, kept: number, forgotten: number, problem: string, loaded: boolean}} */
export const finished = { rows: [], more: false, kept: 0, forgotten: 0, problem: "", loaded: false };

/** @type {Filter} */
let filter = { q: "", model: "", backend: "", outcome: "" };
let generation = 0;

/** @param {Filter} wanted fetched anew when it differs from the last one */
export function want(wanted) {
  if (finished.loaded && JSON.stringify(wanted) === JSON.stringify(filter)) return;
  filter = wanted;
  finished.loaded = true;
  void load();
}

async function load() {
  const own = ++generation;
  try {
    const page = await fetchPage();
    if (own !== generation) return;
    Object.assign(finished, {
      rows: page.data,
      more: page.data.length === PAGE,
      kept: page.kept,
      forgotten: page.forgotten,
      problem: "",
    });
  } catch (error) {
    if (own === generation) finished.problem = error instanceof Error ? error.message : String(error);
  }
  changed();
}

/** Fetch those before the oldest that is shown. */
export async function loadOlder() {
  const own = generation;
  const oldest = finished.rows.at(-1)?.seq;
  try {
    const page = await fetchPage(oldest);
    if (own !== generation) return;
    finished.rows = [...finished.rows, ...page.data];
    finished.more = page.data.length === PAGE;
  } catch (error) {
    finished.problem = error instanceof Error ? error.message : String(error);
  }
  changed();
}

/** @param {number} [before] */
function fetchPage(before) {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (before != null) query.set("before", String(before));
  for (const [name, value] of Object.entries(filter)) {
    if (value) query.set(name, value);
  }
  return ask("GET", `/admin/requests?${query}`);
}

/** @param {Summary} row */
export const failed = (row) => (row.error !== "" || row.status >= 400) && !row.client_closed;

/** @param {Summary} row whether it passes the filter, as far as a summary tells */
function passes(row) {
  const text = `${row.id} ${row.model} ${row.served_model} ${row.backend} ${row.error}`.toLowerCase();
  return (
    (!filter.model || row.model === filter.model || row.served_model === filter.model) &&
    (!filter.backend || row.backend === filter.backend) &&
    (!filter.outcome || failed(row) === (filter.outcome === "failed")) &&
    text.includes(filter.q.toLowerCase())
  );
}

onEvent("requests", ({ data, skipped }) => {
  if (!finished.loaded) return;
  if (skipped) {
    void load();
    return;
  }
  const fresh = data.filter(passes).reverse();
  // A page that was fetched just now may hold them already; ids are the clients' own and may repeat.
  const numbers = new Set(fresh.map((/** @type {Summary} */ row) => row.seq));
  const rows = [...fresh, ...finished.rows.filter((row) => !numbers.has(row.seq))];
  finished.more ||= rows.length > MOST;
  finished.rows = rows.slice(0, MOST);
  finished.kept += data.length;
  changed();
});
onEvent("open", () => {
  if (finished.loaded) void load();
});
