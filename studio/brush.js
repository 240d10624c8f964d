// The brush and the eraser: a ring of the brush's size, strokes that show at once, the size. Loaded when first used.

import { clamp } from "./geometry.js";
import { copyOf, dimmed, drawStroke } from "./mask.js";
import { $, h, say } from "./widgets.js";

const LARGEST = 0.15; // the largest and the first radius, as shares of the photo's longer side
const FIRST = 0.02;
const FACTOR = 1.2; // of the keys [ and ]
const APART = 0.08; // a point nearer to the last one, in radii, is left out
const MOST_POINTS = 2000; // the API's limit for a stroke

let on; // the listeners
let radius = 0; // photo pixels; 0 = not chosen yet
let stroke = null;

/** `listeners`: photo(); mode(), "add" or "erase"; done(step), null for a discarded stroke. */
export function open(listeners) {
  on = listeners;
  $("brush-field").append(
    h("div", { className: "row spread" }, h("label", { className: "label", for: "brush-size" }, "Size"), h("output", { id: "brush-px", className: "quiet" })),
    h("input", { id: "brush-size", type: "range", min: 0, max: 100, step: 1, oninput: ({ target }) => resize(largest() ** (target.value / 100)) }),
    h("p", { className: "quiet" }, "[ and ] change the size, Alt or Shift does the opposite. Space and a drag move the photo."),
  );
  $("photo").append(h("span", { id: "brush-ring", className: "ring", hidden: true }));
  addEventListener("keydown", (event) => {
    const by = { "[": 1 / FACTOR, "]": FACTOR }[event.key];
    if (!by || $("brush-field").hidden || $("panel-cut").hidden || event.target.closest("textarea, input:not([type=range])")) return;
    event.preventDefault();
    resize(radius * by);
  });
  fresh();
}

const largest = () => LARGEST * Math.max(on.photo().width, on.photo().height);

/** Choose a size for a newly opened photo. */
export function fresh() {
  if (on.photo()) resize(radius || FIRST * Math.max(on.photo().width, on.photo().height));
}

function resize(px) {
  radius = clamp(px, 0.5, largest());
  const wide = `${Math.max(1, Math.round(2 * radius))} px`;
  $("brush-size").value = (100 * Math.log(Math.max(1, radius))) / Math.log(largest());
  $("brush-size").setAttribute("aria-valuetext", wide);
  say($("brush-px"), wide);
  size();
}

function size() {
  const { width, height } = on.photo();
  Object.assign($("brush-ring").style, { width: `${(200 * radius) / width}%`, height: `${(200 * radius) / height}%` });
}

/** Show the ring at a photo point; null hides it. `turned`: the stroke would do the opposite. */
export function ring(at, turned = false) {
  const shown = $("brush-ring");
  shown.hidden = !at;
  if (!at) return;
  const { width, height } = on.photo();
  shown.dataset.mode = modeOf(turned);
  Object.assign(shown.style, { left: `${(100 * at.x) / width}%`, top: `${(100 * at.y) / height}%` });
  size();
}

const modeOf = (turned) => ((on.mode() === "erase") === turned ? "add" : "erase");

/** Begin a stroke at a photo point. */
export function begin(at, turned) {
  if ($("photo-mask").hidden) dimmed($("photo-mask"), on.photo());
  stroke = { mode: modeOf(turned), radius, points: [], last: at, path: new Path2D(), before: copyOf($("photo-mask")) };
  stroke.path.moveTo(at.x, at.y);
  extend([at]);
}

/** Move the brush through photo points. */
export function extend(points) {
  if (!stroke) return;
  for (const at of points) {
    if (stroke.points.length && Math.hypot(at.x - stroke.last.x, at.y - stroke.last.y) < Math.max(0.5, APART * stroke.radius)) continue;
    stroke.path.lineTo(at.x, at.y);
    stroke.points.push([tenth(at.x - 0.5), tenth(at.y - 0.5)]); // the API counts from the centres of pixels
    stroke.last = at;
  }
  drawStroke($("photo-mask"), stroke.before, on.photo(), stroke);
}

const tenth = (value) => Math.round(10 * value) / 10;

/** End the stroke. With `keep` false it is discarded. */
export function end(keep = true) {
  const { mode, radius: radius_px, points } = stroke ?? { points: [] };
  stroke = null;
  if (!points.length) return;
  const step = Math.ceil(points.length / MOST_POINTS);
  const thinned = points.filter((_, index) => index % step === 0 || index === points.length - 1);
  on.done(keep ? { kind: "paint", mode, radius_px: Math.max(0.5, tenth(radius_px)), points: thinned.slice(-MOST_POINTS) } : null);
}

/** One dab at a photo point, for the keyboard. */
export function dab(at, turned) {
  begin(at, turned);
  end();
}
