/** Light, dark, or as the system says. */

import { changed } from "./store.js";

const ORDER = /** @type {const} */ (["system", "dark", "light"]);

/** @returns {"system"|"dark"|"light"} */
export function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "dark" || chosen === "light" ? chosen : "system";
}

/** Go to the next theme, and keep it for this browser. */
export function nextTheme() {
  const next = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("nexus-theme");
    else localStorage.setItem("nexus-theme", next);
  } catch {
    // Not kept: it holds until the page is left.
  }
  document.dispatchEvent(new Event("nexus-theme"));
  changed();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new Event("nexus-theme"));
});
