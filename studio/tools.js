// The tools of Cut: click, brush and eraser. The brush is loaded with the first photo, so that it is there when it is chosen.

import * as pointing from "./pointing.js";
import { $, loaded } from "./widgets.js";

const TOOLS = ["click", "add", "erase"];
const HINTS = { click: "Click the product, or drag a box around it", add: "Paint over the product", erase: "Erase what is not the product" };

let on; // the listeners
let tool = "click"; // or "add", "erase": the brush and the eraser
let module = null; // brush.js, once it is loaded
let coming = null; // a promise of it

/** `listeners`: photo(); step(step) takes a stroke; redraw() removes a discarded stroke; changed() follows another tool. */
export function open(listeners) {
  on = listeners;
  for (const name of TOOLS) $(`tool-${name}`).addEventListener("click", () => use(name));
}

/** Choose what the pointer does on the photo, at once. Until the brush is loaded, the photo is busy and takes no gesture. */
export async function use(name) {
  tool = name;
  show();
  if (tool === "click") return;
  await load();
  show();
}

/** Load the brush. */
export function load() {
  coming ??= loaded("brush").then((brush) => {
    brush.open({ photo: on.photo, mode: () => tool, done: (step) => (step ? on.step(step) : on.redraw()) });
    module = brush;
  });
  return coming;
}

/** The module brush.js while it is the tool, else null. */
export const brush = () => (tool === "click" ? null : module);

/** Whether the tool is a brush that is not loaded yet. */
export const loading = () => tool !== "click" && !module;

export const hint = () => HINTS[tool];

/** Choose a brush size for a newly opened photo. */
export const fresh = () => module?.fresh();

function show() {
  for (const one of TOOLS) $(`tool-${one}`).setAttribute("aria-pressed", String(one === tool));
  $("click-field").hidden = tool !== "click";
  $("brush-field").hidden = brush() === null;
  $("photo").classList.toggle("brushed", brush() !== null);
  pointing.reset();
  fresh();
  on.changed();
}
