// Keys of the whole page: undo and redo in every step, and Control and A, which must not select the page's text.

import { $ } from "./widgets.js";

const TEXT = "textarea, select, input:not([type=checkbox], [type=range], [type=color], [type=file], [type=button])";

/** `step()` returns the open step's name. A step has the buttons `<step>-undo` and `<step>-redo`. */
export function open(step) {
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest(TEXT)) return; // fields have their own
    const key = event.key.toLowerCase();
    if (key === "a") {
      event.preventDefault();
    } else if (key === "z" || key === "y") {
      event.preventDefault();
      $(`${step()}-${event.shiftKey || key === "y" ? "redo" : "undo"}`).click();
    }
  });
}
