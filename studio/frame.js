// What every page of the studio has: icons, colours, dialogs, signing in and out.

import * as api from "./api.js";
import { $, icon, loaded, sorry, wireDialogs } from "./widgets.js";

/** Fill in the icons and wire the buttons and dialogs of the page's frame. */
export function open() {
  for (const holder of document.querySelectorAll("[data-icon]")) holder.prepend(icon(holder.dataset.icon));
  wireTheme();
  wireDialogs();
  if (!$("sign-out")) return; // a page for people without a key
  api.onUnauthorized(async (again) => (await loaded("signin")).ask(again));
  wireSignOut();
}

function wireTheme() {
  const names = ["auto", "light", "dark"];
  const kept = () => {
    try {
      return localStorage.getItem("packshot.theme") ?? "auto";
    } catch {
      return "auto";
    }
  };
  const apply = (name) => {
    document.documentElement.dataset.theme = name;
    $("theme").setAttribute("aria-label", `Colours: ${name === "auto" ? "as the system" : name}`);
    $("theme").title = $("theme").getAttribute("aria-label");
  };
  $("theme").addEventListener("click", () => {
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % 3];
    try {
      localStorage.setItem("packshot.theme", next);
    } catch {
      // no storage: the choice lasts until the page is closed
    }
    apply(next);
  });
  apply(names.includes(kept()) ? kept() : "auto");
}

/** The button `sign-out`, where this server needs keys. */
function wireSignOut() {
  $("sign-out").hidden = !api.withKeys();
  $("sign-out").addEventListener("click", async () => {
    try {
      await api.closeSession();
    } catch (problem) {
      return sorry(problem, { key: "sign-out" });
    }
    location.reload(); // nothing that was loaded with the session stays on the page
  });
}
