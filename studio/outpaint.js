// The handles at the sides of a picture: dragged outwards, they grow its canvas, and the new margins are painted.

import { clamp } from "./geometry.js";
import { h } from "./widgets.js";

export const SIDES = ["left", "top", "right", "bottom"];
const OUT = { left: [-1, 0], top: [0, -1], right: [1, 0], bottom: [0, 1] };
const WAYS = { ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowDown: [0, 1] };
const SNAP_PX = 8;
const TALLEST_VH = 42;

/** The frame of a canvas around `picture`, an element. `grow(side, px)` is called with the margin that a handle asks for. */
export class Frame {
  constructor(picture, grow) {
    this.picture = picture;
    this.grow = grow;
    this.held = null; // {k, from}: the scale and the margins when a handle was pressed
    this.handles = Object.fromEntries(SIDES.map((side) => [side, this.handle(side)]));
    this.element = h("div", { className: "touch-frame" }, picture, ...Object.values(this.handles));
  }

  handle(side) {
    const way = side === "left" || side === "right" ? "horizontal" : "vertical";
    const label = `Grow the picture on the ${side}: drag outwards, or arrow keys`;
    const handle = h("span", { className: "grow-handle", tabIndex: 0, role: "slider", "aria-label": label, "aria-orientation": way, "aria-valuemin": "0" });
    handle.dataset.side = side;
    handle.addEventListener("pointerdown", (event) => this.press(event, side));
    handle.addEventListener("keydown", (event) => this.key(event, side));
    return handle;
  }

  /** Lay a picture of `size` {width, height} with `margins` {left, …}, in pixels of the picture. `most` bounds each margin. */
  lay(size, margins, most) {
    Object.assign(this, { size, margins, most });
    const { left, top, right, bottom } = margins;
    const [across, down] = [size.width + left + right, size.height + top + bottom];
    const { k, from } = this.held ?? {};
    Object.assign(this.element.style, {
      aspectRatio: `${across} / ${down}`,
      width: k ? `${across * k}px` : `min(100%, ${(TALLEST_VH * across) / down}vh)`,
      // the frame is centred in its room, and a pressed picture stays where it is
      translate: k ? `${((from.left - from.right - left + right) * k) / 2}px ${((from.top - from.bottom - top + bottom) * k) / 2}px` : "",
    });
    Object.assign(this.picture.style, {
      left: `${(100 * left) / across}%`,
      top: `${(100 * top) / down}%`,
      width: `${(100 * size.width) / across}%`,
      height: `${(100 * size.height) / down}%`,
    });
    for (const side of SIDES) {
      this.handles[side].setAttribute("aria-valuenow", String(margins[side]));
      this.handles[side].setAttribute("aria-valuemax", String(most[side]));
      this.handles[side].setAttribute("aria-valuetext", `${margins[side]} px`);
    }
  }

  ask(side, px) {
    this.grow(side, clamp(Math.round(px / SNAP_PX) * SNAP_PX, 0, this.most[side]));
  }

  press(event, side) {
    if (event.button) return;
    event.preventDefault();
    const handle = this.handles[side];
    const room = this.element.parentElement;
    const from = this.margins;
    const k = this.element.clientWidth / (this.size.width + from.left + from.right);
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    this.held = { k, from };
    room.style.height = `${room.offsetHeight}px`;
    const [x, y] = OUT[side];
    const move = (next) => this.ask(side, from[side] + ((next.clientX - event.clientX) * x + (next.clientY - event.clientY) * y) / k);
    const end = () => {
      handle.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) handle.removeEventListener(name, end);
      this.held = null;
      room.style.height = "";
      this.grow(side, this.margins[side]);
    };
    handle.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) handle.addEventListener(name, end);
  }

  key(event, side) {
    const [x, y] = WAYS[event.key] ?? [0, 0];
    const out = x * OUT[side][0] + y * OUT[side][1];
    if (!out && event.key !== "Home") return;
    event.preventDefault();
    event.stopPropagation();
    this.ask(side, out ? this.margins[side] + out * SNAP_PX * (event.shiftKey ? 8 : 1) : 0);
  }
}
