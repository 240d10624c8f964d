// Gestures on the photo. Pointer: a click marks, a drag draws a box or paints, the middle button, Space and a drag, or two
// fingers move the photo. Keyboard: a crosshair clicks, paints a dab, and sets the two corners of a box.

import { boxOf, clamp } from "./geometry.js";
import { $ } from "./widgets.js";

const DRAG_PX = 5; // shorter drags are clicks
const KEY_STEP = 0.02; // of the photo's width, for an arrow key

let zoom;
let on; // the listeners: {photo, click, box, brush, loading, tool, undo, candidate, status}
let hand = false; // Space is down: a drag moves the photo
let cross = null; // {x, y} of the crosshair, photo pixels
let corner = null; // the first corner of a box that the keyboard draws
let pinched = false; // two fingers were down, so neither is a click
const fingers = new Map(); // pointer id -> its last event

/**
 * Listen. `listeners`: photo() returns the photo or null; click(at, turned), `turned` with Alt or Shift; press(at,
 * turned), before it is known whether it is a click; nopress(), when it is none;
 * box([x0, y0, x1, y1]); brush() returns the module brush.js while it is the tool, else null; loading() is true while
 * the tool is a brush that is not loaded yet; tool(key); undo(); candidate(number); status(text).
 */
export function open(onZoom, listeners) {
  [zoom, on] = [onZoom, listeners];
  const surface = $("photo");
  surface.addEventListener("pointerdown", onPointer);
  surface.addEventListener("keydown", onKey);
  surface.addEventListener("blur", reset);
  surface.addEventListener("keyup", (event) => event.key === " " && grab(false));
  surface.addEventListener("pointermove", (event) => event.buttons === 0 && on.brush()?.ring(hand ? null : zoom.where(event), turned(event)));
  surface.addEventListener("pointerleave", () => on.brush()?.ring(null));
  surface.addEventListener("focus", () => {
    const photo = on.photo();
    if (photo && surface.matches(":focus-visible")) aim({ x: photo.width / 2, y: photo.height / 2 });
  });
  surface.addEventListener("contextmenu", (event) => event.preventDefault());
}

/** Hide the crosshair and discard an unfinished box. */
export function reset() {
  corner = null;
  grab(false);
  aim(null);
  band(null);
}

const turned = (event) => event.altKey || event.shiftKey || (event.pointerType === "pen" && (event.buttons & 32) > 0); // 32: a pen's eraser

function grab(is) {
  hand = is;
  $("photo").classList.toggle("hand", is);
}

function aim(at) {
  cross = at;
  $("photo-cross").hidden = !cross || on.brush() !== null;
  on.brush()?.ring(cross);
  if (!cross) return;
  const { width, height } = on.photo();
  Object.assign($("photo-cross").style, { left: `${(100 * cross.x) / width}%`, top: `${(100 * cross.y) / height}%` });
}

/** Place an element over a box of the photo, at every zoom. */
export function placeBox(element, [x0, y0, x1, y1], { width, height }) {
  Object.assign(element.style, {
    left: `${(100 * x0) / width}%`,
    top: `${(100 * y0) / height}%`,
    width: `${(100 * (x1 - x0)) / width}%`,
    height: `${(100 * (y1 - y0)) / height}%`,
  });
}

/** Show an unfinished box, in photo pixels; null hides it. */
function band(box) {
  $("photo-band").hidden = !box;
  if (box) placeBox($("photo-band"), box, on.photo());
}

const far = (start, event) => Math.hypot(event.clientX - start.x, event.clientY - start.y) > DRAG_PX;

function onPointer(event) {
  if (event.button === 2 || on.loading()) return;
  const surface = $("photo");
  event.preventDefault();
  surface.focus({ preventScroll: true });
  aim(null);
  fingers.set(event.pointerId, event);
  surface.setPointerCapture(event.pointerId);
  const start = { x: event.clientX, y: event.clientY };
  const from = zoom.at(event);
  const panning = event.button === 1 || hand;
  pinched = fingers.size > 1;
  const brush = panning || pinched ? null : on.brush();
  if (pinched) on.brush()?.end(false);
  if (!panning && !pinched && !brush && on.photo()) on.press(from, turned(event));
  else on.nopress();
  brush?.ring(zoom.where(event), turned(event));
  brush?.begin(zoom.where(event), turned(event));
  let last = event;

  const move = (next) => {
    if (next.pointerId !== event.pointerId) return; // another finger has its own listeners
    const before = [...fingers.values()];
    fingers.set(next.pointerId, next);
    if (fingers.size === 2) {
      band(null);
      pinch(before, [...fingers.values()]);
    } else if (brush && !pinched) {
      brush.extend((next.getCoalescedEvents?.() ?? [next]).map(zoom.where));
      brush.ring(zoom.where(next), turned(next));
    } else if (panning) zoom.pan(next.clientX - last.clientX, next.clientY - last.clientY);
    else if (!pinched && far(start, next)) {
      on.nopress();
      band(boxOf(from, zoom.at(next), on.photo()));
    }
    last = next;
  };
  const end = (next) => {
    if (next.pointerId !== event.pointerId) return;
    fingers.delete(next.pointerId);
    for (const name of ["pointerup", "pointercancel"]) surface.removeEventListener(name, end);
    surface.removeEventListener("pointermove", move);
    band(null);
    if (brush && next.pointerType === "touch") brush.ring(null);
    if (brush) return brush.end(next.type !== "pointercancel");
    if (next.type === "pointercancel" || panning || pinched || !on.photo()) return on.nopress();
    if (far(start, next)) on.box(boxOf(from, zoom.at(next), on.photo()));
    else on.click(from, turned(event));
  };
  surface.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) surface.addEventListener(name, end);
}

function pinch(before, after) {
  const room = $("photo-room").getBoundingClientRect();
  const spread = ([a, b]) => Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY));
  const middle = ([a, b]) => ({ x: (a.clientX + b.clientX) / 2 - room.left, y: (a.clientY + b.clientY) / 2 - room.top });
  const [was, is] = [middle(before), middle(after)];
  zoom.pan(is.x - was.x, is.y - was.y);
  zoom.by(spread(after) / spread(before), is);
}

function onKey(event) {
  const photo = on.photo();
  if (!photo || event.ctrlKey || event.metaKey) return;
  const step = KEY_STEP * photo.width * (event.shiftKey ? 4 : 1);
  const arrow = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  const at = cross ?? { x: photo.width / 2, y: photo.height / 2 };
  if (arrow) {
    aim({ x: clamp(at.x + arrow[0], 0, photo.width - 1), y: clamp(at.y + arrow[1], 0, photo.height - 1) });
    if (corner) band(boxOf(corner, cross, photo));
    zoom.reveal(cross);
  } else if (event.key === " " && on.brush()) grab(true);
  else if (event.key === "Enter" && on.brush()) on.brush().dab(at, turned(event));
  else if ((event.key === "Enter" || event.key === " ") && !on.loading()) on.click(at, turned(event));
  else if (/^[cpe]$/i.test(event.key)) on.tool(event.key.toLowerCase());
  else if (event.key.toLowerCase() === "b") setCorner(at, photo);
  else if (event.key === "Escape") (corner = null), band(null);
  else if (event.key === "Backspace") on.undo();
  else if (event.key === "+" || event.key === "=") zoom.larger();
  else if (event.key === "-") zoom.smaller();
  else if (event.key === "0") zoom.whole();
  else if (/^[1-9]$/.test(event.key)) on.candidate(Number(event.key));
  else return;
  if (!cross) aim(at);
  event.preventDefault();
}

function setCorner(at, photo) {
  if (!corner) {
    corner = at;
    on.status("One corner of the box is set; move to the other and press B again.");
    return;
  }
  const box = boxOf(corner, at, photo);
  corner = null;
  band(null);
  on.box(box);
}
