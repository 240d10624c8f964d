// Zoom, pan and pinch of a content (the photo) in its room. The content's element has the displayed size, so its box
// maps to the photo's pixels at every zoom.

import { clamp, fitScale, keptInSight, zoomedAt } from "./geometry.js";

const STEP = 1.25;

export class Zoom {
  /** `room` clips `content`, which is sized and moved. `changed(scale)` is called after each change. */
  constructor(room, content, changed = () => {}) {
    Object.assign(this, { room, content, changed });
    this.size = { width: 1, height: 1 };
    this.view = { zoom: 1, x: 0, y: 0 };
    new ResizeObserver(() => this.lay()).observe(room);
    room.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** Show the whole of a content of this size. */
  open(size) {
    this.size = size;
    this.view = { zoom: 1, x: 0, y: 0 };
    this.lay();
  }

  get scale() {
    const { clientWidth: width, clientHeight: height } = this.room;
    return Math.max(1e-6, fitScale(this.size, { width, height }) * this.view.zoom);
  }

  by(factor, point = null) {
    const middle = { x: this.room.clientWidth / 2, y: this.room.clientHeight / 2 };
    this.view = zoomedAt(this.view, factor, point ?? middle);
    this.lay();
  }

  larger = () => this.by(STEP);
  smaller = () => this.by(1 / STEP);
  whole = () => this.open(this.size);

  /** Show the whole content, or, when it shows already, one content pixel for each pixel of the screen. */
  toggle = () => (this.view.zoom === 1 ? this.by(1 / (this.scale * devicePixelRatio)) : this.whole());

  pan(dx, dy) {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.lay();
  }

  /** Pan until a content point is visible. */
  reveal(point) {
    const { scale, view, room } = this;
    const off = (at, space) => clamp(at, 20, space - 20) - at;
    this.pan(off(view.x + point.x * scale, room.clientWidth), off(view.y + point.y * scale, room.clientHeight));
  }

  lay() {
    const room = { width: this.room.clientWidth, height: this.room.clientHeight };
    if (!room.width || !room.height) return;
    const size = { width: this.size.width * this.scale, height: this.size.height * this.scale };
    this.view = keptInSight(this.view, size, room);
    const { style } = this.content;
    style.width = `${size.width}px`;
    style.height = `${size.height}px`;
    style.transform = `translate(${this.view.x}px, ${this.view.y}px)`;
    this.changed(this.scale);
  }

  /** A page point in content pixels. It may lie outside of the content. */
  where = (event) => {
    const box = this.content.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * this.size.width, y: ((event.clientY - box.top) / box.height) * this.size.height };
  };

  /** A page point in content pixels, clamped to the content. */
  at(event) {
    const { x, y } = this.where(event);
    return { x: clamp(x, 0, this.size.width - 1), y: clamp(y, 0, this.size.height - 1) };
  }

  #wheel(event) {
    event.preventDefault();
    const box = this.room.getBoundingClientRect();
    const point = { x: event.clientX - box.left, y: event.clientY - box.top };
    if (event.shiftKey) this.pan(-event.deltaX - event.deltaY, 0);
    else this.by(Math.exp(-clamp(event.deltaY, -120, 120) / 400), point);
  }
}
