/** Sets the chosen theme before anything is painted; a plain script, because modules wait. */
try {
  const chosen = localStorage.getItem("nexus-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is closed to us: the system's own preference holds.
}
