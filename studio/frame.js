// What every page of the studio has: icons, colours, dialogs, signing in and out.

import * as api from "./api.js";
import { $, icon, openDialog, say, sorry, wireDialogs } from "./widgets.js";
import { plain } from "./words.js";

/** Fill in the icons and wire the buttons and dialogs of the page's frame. */
export function open() {
  for (const holder of document.querySelectorAll("[data-icon]")) holder.prepend(icon(holder.dataset.icon));
  wireTheme();
  wireDialogs();
  if ($("sign-in")) wireSignIn();
  if ($("sign-out")) wireSignOut();
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

/** Show the dialog `sign-in` when a request needs a key, and repeat the request afterwards. */
function wireSignIn() {
  const dialog = $("sign-in");
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  api.onUnauthorized(
    (again) =>
      new Promise((resolve) => {
        $("key").value = "";
        $("sign-in-again").hidden = !again;
        $("sign-in-first").hidden = again;
        say($("key-problem"), "");
        if (!dialog.open) openDialog(dialog);
        const submit = async (event) => {
          event.preventDefault();
          try {
            await api.openSession($("key").value.trim());
          } catch (problem) {
            if (!problem.code) throw problem;
            const wrong = problem.code === "unauthorized" || problem.code === "invalid_request";
            const { title, remedy } = plain(problem);
            say($("key-problem"), wrong ? "This key is not valid, or was revoked. Ask the operator for a new one." : `${title} ${remedy}`);
            return;
          }
          $("sign-in-form").removeEventListener("submit", submit);
          $("key").value = "";
          dialog.close();
          $("sign-out").hidden = false;
          resolve();
          for (const image of document.images) if (image.complete && !image.naturalWidth && image.src) image.src = image.src;
        };
        $("sign-in-form").addEventListener("submit", submit);
      }),
  );
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
