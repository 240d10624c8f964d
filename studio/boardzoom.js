// Zoom and pan of the canvas in Place: wheel, pinch, middle button, space bar, and a drag on an empty part.

import { clamp, fitScale, keptInSight, zoomedAt } from "./geometry.js";
import { desk } from "./store.js";
import { $, say } from "./widgets.js";

const ROOM_PX = 28; // around the canvas, for handles
const STEP = 1.25;

let view = { zoom: 1, x: 0, y: 0 }; // x, y: the corner of the canvas with the room around it
let size = ""; // of the canvas for which the view was made
let changed = () => {};
let hand = false; // the space bar is held
const fingers = new Map(); // pointer id -> its last event, of touches on the board

/** `lay()` is called after each change. */
export function open(lay) {
  changed = lay;
  const room = $("board-room");
  room.addEventListener("wheel", onWheel, { passive: false });
  room.addEventListener("pointerdown", onDown, { capture: true });
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, ({ pointerId }) => fingers.delete(pointerId), { capture: true });
  $("board-zoom-in").addEventListener("click", () => by(STEP));
  $("board-zoom-out").addEventListener("click", () => by(1 / STEP));
  $("board-zoom-fit").addEventListener("click", toggle);
  addEventListener("keydown", (event) => event.key === " " && grab(event, true));
  addEventListener("keyup", (event) => event.key === " " && grab(event, false));
}

function grab(event, is) {
  if (is && !event.target.closest("#board")) return;
  hand = is;
  $("board-room").classList.toggle("hand", hand);
  if (is) event.preventDefault();
}

const room = () => ({ width: $("board-room").clientWidth, height: $("board-room").clientHeight });
const fit = () => fitScale(desk.canvas, { width: room().width - 2 * ROOM_PX, height: room().height - 2 * ROOM_PX });

/** {k, x, y}: screen pixels per canvas pixel, and the canvas's corner in its room. */
export function frame() {
  const { width, height } = desk.canvas;
  if (size !== `${width} ${height}`) view = { zoom: 1, x: 0, y: 0 };
  size = `${width} ${height}`;
  const k = fit() * view.zoom;
  view = keptInSight(view, { width: width * k + 2 * ROOM_PX, height: height * k + 2 * ROOM_PX }, room());
  say($("board-zoom-fit"), `${Math.round(k * devicePixelRatio * 100)} %`);
  return { k, x: view.x + ROOM_PX, y: view.y + ROOM_PX };
}

function by(factor, point = { x: room().width / 2, y: room().height / 2 }) {
  const before = view.zoom;
  // the canvas's own corner is what scales; the room around it keeps its width
  const inner = zoomedAt({ ...view, x: view.x + ROOM_PX, y: view.y + ROOM_PX }, factor, point);
  view = { ...inner, x: inner.x - ROOM_PX, y: inner.y - ROOM_PX };
  if (view.zoom !== before) changed();
}

export const larger = () => by(STEP);
export const smaller = () => by(1 / STEP);

/** Show the whole canvas, or, when it shows already, one canvas pixel for each pixel of the screen. */
export function toggle() {
  if (view.zoom > 1) {
    view = { zoom: 1, x: 0, y: 0 };
    changed();
  } else by(1 / (fit() * devicePixelRatio));
}

function pan(dx, dy) {
  view = { ...view, x: view.x + dx, y: view.y + dy };
  changed();
}

/** Whether the canvas is larger than its room. */
export const zoomed = () => view.zoom > 1;

function onWheel(event) {
  event.preventDefault();
  const box = $("board-room").getBoundingClientRect();
  if (event.shiftKey) pan(-event.deltaX - event.deltaY, 0);
  else by(Math.exp(-clamp(event.deltaY, -120, 120) / 400), { x: event.clientX - box.left, y: event.clientY - box.top });
}

/** Pans and pinches begin here, before the board sees the pointer. */
function onDown(event) {
  if (event.pointerType === "touch") fingers.set(event.pointerId, event);
  if (fingers.size === 2) return pinch(event);
  if (event.button !== 1 && !(hand && event.button === 0)) return;
  event.stopPropagation();
  event.preventDefault();
  follow(event);
}

/** Pan with the pointer until it is released. */
export function follow(event) {
  const surface = $("board-room");
  surface.setPointerCapture(event.pointerId);
  let last = event;
  const move = (next) => {
    if (next.pointerId !== event.pointerId || fingers.size > 1) return;
    pan(next.clientX - last.clientX, next.clientY - last.clientY);
    last = next;
  };
  surface.addEventListener("pointermove", move);
  const end = (next) => {
    if (next.pointerId !== event.pointerId) return;
    surface.removeEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) surface.removeEventListener(name, end);
  };
  for (const name of ["pointerup", "pointercancel"]) surface.addEventListener(name, end);
}

/** Whether two fingers zoom now, so that neither moves a layer. */
export const pinching = () => fingers.size > 1;

function pinch(event) {
  event.stopPropagation();
  const surface = $("board-room");
  const move = (next) => {
    if (!fingers.has(next.pointerId)) return;
    const before = [...fingers.values()];
    fingers.set(next.pointerId, next);
    const after = [...fingers.values()];
    if (before.length !== 2 || after.length !== 2) return;
    const box = surface.getBoundingClientRect();
    const spread = ([a, b]) => Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY));
    const middle = ([a, b]) => ({ x: (a.clientX + b.clientX) / 2 - box.left, y: (a.clientY + b.clientY) / 2 - box.top });
    const [was, is] = [middle(before), middle(after)];
    view = { ...view, x: view.x + is.x - was.x, y: view.y + is.y - was.y };
    by(spread(after) / spread(before), is);
    changed();
  };
  const end = () => {
    removeEventListener("pointermove", move, { capture: true });
    for (const name of ["pointerup", "pointercancel"]) removeEventListener(name, end, { capture: true });
  };
  addEventListener("pointermove", move, { capture: true });
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, end, { capture: true });
}
