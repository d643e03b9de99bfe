/** Which view is open: in the hash, so that a reload and the back button keep the place. */

import { changed } from "./store.js";

export const VIEWS = /** @type {const} */ (["fleet", "models", "traffic", "requests", "try"]);

/** @typedef {{view: string, item: string, query: URLSearchParams}} Route */

/**
 * @param {string} hash
 * @returns {Route} the first view where the hash names none
 */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [view, ...rest] = path.split("/");
  const known = VIEWS.some((name) => name === view);
  return { view: known ? view : VIEWS[0], item: decoded(rest.join("/")), query: new URLSearchParams(search) };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * @param {string} view
 * @param {string} [item]
 * @param {Record<string, string>} [query] empty values are left out
 */
export function link(view, item = "", query = {}) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const tail = search.size ? `?${search}` : "";
  return `#/${view}${item ? `/${encodeURIComponent(item)}` : ""}${tail}`;
}

/** @type {Route} */
export let route = parse(location.hash);

/** @param {string} hash where to go without a step in the history */
export function replace(hash) {
  history.replaceState(null, "", hash);
  route = parse(hash);
  changed();
}

/** @param {(before: Route) => void} handler called after each change of place */
export function onRoute(handler) {
  addEventListener("hashchange", () => {
    const before = route;
    route = parse(location.hash);
    handler(before);
    changed();
  });
}
