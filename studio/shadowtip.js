// The cast shadow on the canvas: a sketch of it below the layers, and the handle at its tip, which turns and lengthens it.
// It is the same direction as the dial's under Render.

import { bounds, clamp } from "./geometry.js";
import { within } from "./handles.js";
import { castOf, setCast, STEP_DEG, USUAL_DEG } from "./light.js";
import { previewOf } from "./previews.js";
import { briefHistory, desk } from "./store.js";
import { $, h, keyed } from "./widgets.js";

const GROUND = 0.3; // how many pixels up the canvas one pixel of ground goes back, with a usual camera
const THIN = 0.05; // a shadow to the side is as deep as the product's foot
const STEP = 0.1; // of the length
const [SHORTEST, LONGEST] = [0.1, 3];
const TURN_STEP = 15; // with shift

let view = { k: 1, room: null, bar: null };

/** Add the sketch and the handle to the board. */
export function open() {
  $("board").prepend(h("div", { id: "board-shadows", "aria-hidden": "true" }));
  const tip = h("span", { id: "shadow-tip", className: "shadow-tip", role: "slider", tabIndex: 0, title: "Drag to turn and lengthen the shadow", "aria-label": "Shadow on the canvas", "aria-describedby": "shadow-help", "aria-valuemin": "0", "aria-valuemax": "359" });
  $("board-frame").append(h("div", { id: "shadow-light", className: "over", hidden: true }, h("span", { className: "shadow-way", id: "shadow-way" }), tip));
  tip.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    tip.setPointerCapture(event.pointerId);
    tip.focus({ preventScroll: true });
  });
  tip.addEventListener("pointermove", (event) => tip.hasPointerCapture(event.pointerId) && follow(event));
  tip.addEventListener("keydown", onKey);
}

/** The layer whose foot the handle starts from: the selected one, or the one in front. */
function holder() {
  const shown = desk.layers.filter((layer) => !layer.hidden);
  return shown.find((layer) => layer.key === desk.selected) ?? shown.at(-1) ?? null;
}

/** {x, y, height} of a layer's foot and its height, in canvas pixels. */
function footOf(layer) {
  const box = bounds(layer, desk.canvas);
  return { x: (box.x0 + box.x1) / 2, y: box.y1, height: box.y1 - box.y0 };
}

/** Where the shadow of a layer's top falls, in canvas pixels. */
export function tipOf(foot, deg, length) {
  const turn = (deg * Math.PI) / 180;
  const reach = foot.height * length;
  return { x: foot.x + reach * Math.sin(turn), y: foot.y - reach * Math.cos(turn) * GROUND };
}

/** {deg, length} of a shadow whose tip is at a point. */
export function castTo(foot, point) {
  const [right, back] = [point.x - foot.x, (foot.y - point.y) / GROUND];
  const deg = (Math.atan2(right, back) * 180) / Math.PI;
  return { deg: Math.round(deg + 360) % 360, length: clamp(Math.round((Math.hypot(right, back) / foot.height) * 20) / 20, SHORTEST, LONGEST) };
}

function follow(event) {
  const layer = holder();
  if (!layer) return;
  const box = $("board").getBoundingClientRect();
  const { deg, length } = castTo(footOf(layer), { x: (event.clientX - box.left) / view.k, y: (event.clientY - box.top) / view.k });
  setCast({ direction_deg: event.shiftKey ? (Math.round(deg / TURN_STEP) * TURN_STEP) % 360 : deg, length });
}

function onKey(event) {
  const { deg, length } = castOf(desk.brief.shadow);
  const now = deg ?? USUAL_DEG;
  const turn = { ArrowRight: STEP_DEG, ArrowLeft: -STEP_DEG }[event.key];
  const grow = { ArrowUp: STEP, ArrowDown: -STEP }[event.key];
  if (turn) setCast({ direction_deg: (now + turn + 360) % 360 });
  else if (grow) setCast({ length: clamp(Math.round((length + grow) * 20) / 20, SHORTEST, LONGEST) });
  else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") event.shiftKey ? briefHistory.redo() : briefHistory.undo();
  else return;
  event.preventDefault();
  event.stopPropagation(); // the step's own undo is the layout's
}

/** Draw the sketch and the handle. `k`, `room` and `bar` are as for `drawHandles`. */
export function drawShadow(k, room, bar) {
  view = { k, room, bar };
  const cast = castOf(desk.brief.shadow);
  const layer = cast ? holder() : null;
  $("shadow-light").hidden = !layer;
  const drawn = layer ? desk.layers.filter((one) => !one.hidden && previewOf(one.mask_id).bitmap) : [];
  keyed($("board-shadows"), drawn, (one) => `${one.key} ${one.mask_id}`, sketch, (element, one) => lay(element, one, cast));
  if (!layer) return;
  const { deg, length } = cast;
  const foot = footOf(layer);
  const at = tipOf(foot, deg ?? USUAL_DEG, length);
  const [tip] = within([{ x: at.x * k, y: at.y * k }], room, bar);
  const [dx, dy] = [tip.x - foot.x * k, tip.y - foot.y * k];
  $("shadow-way").style.transform = `translate(${foot.x * k}px, ${foot.y * k}px) rotate(${Math.atan2(dy, dx)}rad) scaleX(${Math.hypot(dx, dy)})`;
  const handle = $("shadow-tip");
  handle.style.transform = `translate(${tip.x}px, ${tip.y}px)`;
  handle.classList.toggle("auto", deg === null);
  handle.setAttribute("aria-valuenow", String(deg ?? USUAL_DEG));
  handle.setAttribute("aria-valuetext", `${deg === null ? "as the scene's light says" : `${deg} degrees`}, length ${length}`);
}

function sketch(layer) {
  const { bitmap } = previewOf(layer.mask_id);
  const canvas = h("canvas", { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return h("div", { className: "layer cast" }, canvas);
}

/** Lay a layer's silhouette on the ground: what is above the foot falls to the side and back. */
function lay(element, layer, { deg, length, softness, intensity }) {
  const own = [...$("board-layers").children].find((one) => one.dataset.key === layer.key);
  if (!own) return;
  const foot = footOf(layer);
  const turn = ((deg ?? USUAL_DEG) * Math.PI) / 180;
  const back = length * Math.cos(turn) * GROUND;
  const deep = Math.sign(back || 1) * Math.max(THIN, Math.abs(back));
  const [x, y] = [foot.x * view.k, foot.y * view.k];
  element.style.width = own.style.width;
  element.style.height = own.style.height;
  element.style.transform = `translate(${x}px, ${y}px) matrix(1, 0, ${-length * Math.sin(turn)}, ${deep}, 0, 0) translate(${-x}px, ${-y}px) ${own.style.transform}`;
  element.style.opacity = String(intensity * (deg === null ? 0.35 : 0.7));
  element.style.filter = `brightness(0) blur(${Math.round(2 + softness * 0.05 * Math.max(parseFloat(own.style.width), parseFloat(own.style.height)))}px)`;
}
