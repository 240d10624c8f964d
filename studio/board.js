// The canvas on the screen. Layers are elements moved by transforms, so that a drag needs no repaint; handles and guides
// are above them. This module draws the desk and handles drags; place.js has the fields and keys.

import * as boardzoom from "./boardzoom.js";
import { bounds, clamp, layerAt, layerSize, scaledBy, snapped, turnedBy } from "./geometry.js";
import { drawHandles } from "./handles.js";
import { onPreview, previewOf } from "./previews.js";
import * as shadowtip from "./shadowtip.js";
import { change, desk, layoutHistory } from "./store.js";
import { $, h, keyed } from "./widgets.js";

const SNAP_PX = 7; // on the screen
const REPORT_MS = 400; // how often the number fields follow a drag; they cost more than the drag
const TURN_STEP = 15; // with shift

let k = 1; // screen pixels per canvas pixel
let room = { x0: 0, y0: 0, x1: 0, y1: 0 }; // what is visible, in screen pixels from the canvas's corner
let bar = room; // the zoom buttons in its corner
let moved = () => {};
let reportedAt = 0;

/** `onMove(layer)` is called while a layer is dragged. */
export function open(onMove) {
  moved = onMove;
  boardzoom.open(lay);
  shadowtip.open();
  new ResizeObserver(lay).observe($("board-room"));
  onPreview(draw);
  $("board").addEventListener("pointerdown", onPointer);
  for (const handle of document.querySelectorAll("[data-handle]")) {
    handle.addEventListener("pointerdown", (event) => onHandle(event, handle.dataset.handle));
  }
}

const selected = () => desk.layers.find((layer) => layer.key === desk.selected) ?? null;
const movable = (layer) => layer && !layer.hidden && !layer.locked;
const outlined = () => (movable(selected()) ? selected() : null);

/** Lay the canvas into its room, at the present zoom, and draw it. */
export function lay() {
  const { clientWidth, clientHeight } = $("board-room");
  if (!clientWidth) return;
  const at = boardzoom.frame();
  k = at.k;
  const size = { width: desk.canvas.width * k, height: desk.canvas.height * k };
  Object.assign($("board-frame").style, { width: `${size.width}px`, height: `${size.height}px`, transform: `translate(${at.x}px, ${at.y}px)` });
  room = { x0: -at.x, y0: -at.y, x1: clientWidth - at.x, y1: clientHeight - at.y };
  const zoom = $("board-zoom");
  bar = { ...room, x0: zoom.offsetLeft - at.x, y0: zoom.offsetTop - at.y };
  draw();
}

/** Draw every layer, in order, and the handles of the selected one. */
export function draw() {
  const board = $("board");
  const plain = desk.background.startsWith("#") || desk.background === "white";
  board.className = `board ${plain ? "" : desk.background}`;
  board.style.backgroundColor = plain ? (desk.background === "white" ? "#ffffff" : desk.background) : "";
  keyed($("board-layers"), desk.layers, (layer) => layer.key, () => h("div", { className: "layer" }), drawLayer);
  drawOver();
}

function drawOver() {
  drawHandles(outlined(), desk.canvas, k, room, bar);
  shadowtip.drawShadow(k, room, bar);
}

function drawLayer(element, layer) {
  const preview = previewOf(layer.mask_id);
  if (element.hidden !== Boolean(layer.hidden)) element.hidden = Boolean(layer.hidden);
  const state = preview.bitmap ? layer.mask_id : preview.missing ? "missing" : "waiting";
  if (element.dataset.state !== state) {
    element.dataset.state = state;
    element.replaceChildren(preview.bitmap ? painted(preview.bitmap) : h("span", {}, preview.missing ? "Cut is gone" : ""));
  }
  place(element, layer, preview.bitmap ?? layer.cutout);
}

function painted(bitmap) {
  const canvas = h("canvas", { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas;
}

/** Put an element of the size `drawn` where its layer is. During a drag only its transform changes. */
function place(element, layer, drawn) {
  const { width } = layerSize(layer, desk.canvas);
  const factor = (width * k) / drawn.width;
  const at = `translate(${layer.x * desk.canvas.width * k}px, ${layer.y * desk.canvas.height * k}px)`;
  const size = `${drawn.width}px ${drawn.height}px`;
  if (element.dataset.size !== size) {
    element.dataset.size = size;
    Object.assign(element.style, { width: `${drawn.width}px`, height: `${drawn.height}px` });
  }
  element.style.transform = `${at} rotate(${layer.rotation_deg}deg) scale(${layer.flip ? -factor : factor}, ${factor}) translate(-50%, -50%)`;
}

function redraw(layer) {
  const element = [...$("board-layers").children].find((one) => one.dataset.key === layer.key);
  if (element) place(element, layer, previewOf(layer.mask_id).bitmap ?? layer.cutout);
  drawOver();
  if (performance.now() - reportedAt < REPORT_MS) return;
  reportedAt = performance.now();
  moved(layer);
}

function guide(lines) {
  for (const axis of ["x", "y"]) {
    const line = lines.find((one) => one.axis === axis);
    const element = $(`guide-${axis}`);
    element.style.opacity = line ? "1" : "0"; // cheaper than to hide it: a drag needs no layout
    if (line) element.style.transform = axis === "x" ? `translateX(${line.at * k}px)` : `translateY(${line.at * k}px)`;
  }
}

/** A page point in canvas pixels. `box` is the board's place on the page. */
function onCanvas(event, box = $("board").getBoundingClientRect()) {
  return { x: (event.clientX - box.left) / k, y: (event.clientY - box.top) / k };
}

/** Follow the pointer after `event`. `move(layer, start, from, to, event)` changes the layer. */
function follow(event, element, move) {
  const key = desk.selected;
  const start = structuredClone(selected());
  const box = $("board").getBoundingClientRect();
  const from = onCanvas(event, box);
  let begun = false;
  let next = null; // the last pointer event before the next frame
  element.setPointerCapture(event.pointerId);
  const draw = () => {
    const layer = next && desk.layers.find((one) => one.key === key);
    if (layer) {
      move(layer, start, from, onCanvas(next, box), next);
      redraw(layer);
    }
    next = null;
  };
  const step = (moved) => {
    if (moved.pointerId !== event.pointerId || boardzoom.pinching()) return;
    if (!begun) layoutHistory.remember();
    begun = true;
    if (!next) requestAnimationFrame(draw);
    next = moved;
  };
  const end = () => {
    draw();
    element.removeEventListener("pointermove", step);
    element.removeEventListener("pointerup", end);
    element.removeEventListener("pointercancel", end);
    guide([]);
    if (begun) change(() => {}); // stores the drag's result
  };
  element.addEventListener("pointermove", step);
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
}

function onPointer(event) {
  if (event.button !== 0) return;
  const board = $("board");
  const within = desk.layers.filter(movable);
  const key = within[layerAt(within, desk.canvas, onCanvas(event))]?.key ?? null;
  if (key !== desk.selected) change((now) => (now.selected = key));
  board.focus({ preventScroll: true });
  event.preventDefault();
  if (key) follow(event, board, moveLayer);
  else if (boardzoom.zoomed()) boardzoom.follow(event);
}

function moveLayer(layer, start, from, to, event) {
  layer.x = clamp(start.x + (to.x - from.x) / desk.canvas.width, -1, 2);
  layer.y = clamp(start.y + (to.y - from.y) / desk.canvas.height, -1, 2);
  const free = event.altKey || !desk.snap;
  const others = desk.layers.filter((one) => one !== layer);
  const rest = free ? { x: layer.x, y: layer.y, guides: [] } : snapped(layer, others, desk.canvas, SNAP_PX / k);
  layer.x = rest.x;
  layer.y = rest.y;
  keepOnCanvas(layer);
  guide(rest.guides);
}

/** Keep a part of the layer on the canvas, so that it can be dragged back. */
export function keepOnCanvas(layer) {
  const box = bounds(layer, desk.canvas);
  const least = 0.05 * Math.max(desk.canvas.width, desk.canvas.height);
  const back = (low, high, side) => (high < least ? least - high : low > side - least ? side - least - low : 0);
  layer.x = clamp(layer.x + back(box.x0, box.x1, desk.canvas.width) / desk.canvas.width, -1, 2);
  layer.y = clamp(layer.y + back(box.y0, box.y1, desk.canvas.height) / desk.canvas.height, -1, 2);
}

function onHandle(event, kind) {
  if (event.button !== 0 || !selected()) return;
  event.preventDefault();
  event.stopPropagation();
  follow(event, event.currentTarget, (layer, start, from, to, next) => {
    if (kind === "turn") layer.rotation_deg = turnedBy(start, desk.canvas, from, to, next.shiftKey ? TURN_STEP : 0);
    else layer.scale = scaledBy(start, desk.canvas, from, to);
  });
}
