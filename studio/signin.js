// The dialog that asks for a key when a request needs one.

import * as api from "./api.js";
import { $, h, openDialog, say } from "./widgets.js";
import { plain } from "./words.js";

let dialog = null;

/** Show the dialog, and resolve when a session is open. `again`: an earlier one has ended. */
export function ask(again) {
  return new Promise((resolve) => {
    dialog ??= made();
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
  });
}

function made() {
  const dialog = h(
    "dialog",
    { id: "sign-in", className: "sheet", "data-stays": "", "aria-labelledby": "sign-in-title", oncancel: (event) => event.preventDefault() },
    h(
      "form",
      { id: "sign-in-form", method: "dialog" },
      h("h2", { id: "sign-in-title" }, "Sign in"),
      h("p", { id: "sign-in-first" }, "This studio needs a key. Its operator makes one with ", h("code", {}, "packshot keys create"), "."),
      h("p", { id: "sign-in-again" }, "Your session has ended: its twelve hours are over, or its key was revoked. Sign in again, with the same key or a new one of the same account. Your work is kept, and what you just did is then repeated."),
      h("label", { className: "label", htmlFor: "key" }, "Key"),
      h("input", { id: "key", type: "password", autocomplete: "current-password", required: true, placeholder: "pk_…", "aria-describedby": "key-problem" }),
      h("p", { id: "key-problem", className: "problem", role: "alert" }),
      h("button", { type: "submit", className: "primary wide" }, "Sign in"),
      h("p", { className: "quiet" }, "The key opens a session of twelve hours in this browser; the page does not store the key."),
    ),
  );
  document.body.append(dialog);
  return dialog;
}
