// Before the first paint, so that dark mode does not begin with a white flash. Not a module: those run later.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("wearon-theme");
  } catch {
    // Storage may be forbidden; the system's theme serves then.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
