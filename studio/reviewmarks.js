// Marks on a picture: areas, lines and points, as fractions of its size. Drawn with the mouse, or with arrows and Enter.

import { clamp } from "./geometry.js";

export const TOOLS = ["rect", "pen", "point"];
const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.02;
const NEAR = 0.004; // pen points closer than this are left out
const MOST_POINTS = 500;

/** Draw marks into an <svg> whose box is 1000 x 1000. `old` are those of earlier reviews. */
export function draw(svg, marks, old = []) {
  svg.replaceChildren(...old.flatMap((mark) => shapes(mark, true)), ...marks.flatMap((mark) => shapes(mark, false)));
}

function shapes({ kind, points }, old) {
  return ["under", "ink"].map((className) => {
    const shape = document.createElementNS(SVG, kind === "rect" ? "rect" : "path");
    shape.setAttribute("class", old ? `${className} old` : className);
    const at = points.map(([x, y]) => [1000 * x, 1000 * y]);
    if (kind === "rect") {
      const [[x0, y0], [x1, y1]] = at;
      for (const [name, value] of Object.entries({ x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) })) shape.setAttribute(name, String(value));
    } else if (kind === "pen") shape.setAttribute("d", `M${at.map((point) => point.join(" ")).join("L")}`);
    else shape.setAttribute("d", `M${at[0][0] - 14} ${at[0][1]}h28M${at[0][0]} ${at[0][1] - 14}v28`);
    return shape;
  });
}

const fraction = (value) => Math.round(clamp(value, 0, 1) * 10000) / 10000;

/** Draws on `surface`, whose box is the picture's. `changed()` is called after each change of `marks`. */
export class Marking {
  constructor(surface, svg, cross, changed) {
    Object.assign(this, { surface, svg, cross, changed });
    this.marks = [];
    this.old = [];
    this.tool = null;
    this.at = [0.5, 0.5];
    this.begun = null; // the points of a mark that the keyboard has begun
  }

  /** Show other marks. `old` are those of the log. */
  show(marks, old) {
    Object.assign(this, { marks, old, begun: null });
    this.lay();
  }

  use(tool) {
    this.finish();
    this.tool = this.tool === tool ? null : tool;
    this.lay();
  }

  nextTool() {
    this.use([...TOOLS, null][(TOOLS.indexOf(this.tool) + 1) % 4] ?? this.tool);
  }

  lay(going = null) {
    if (!this.svg) return;
    this.cross.hidden = !this.tool || !this.keyed;
    Object.assign(this.cross.style, { left: `${100 * this.at[0]}%`, top: `${100 * this.at[1]}%` });
    const live = going ?? (this.begun && { kind: this.tool, points: [...this.begun, this.at] });
    draw(this.svg, live ? [...this.marks, live] : this.marks, this.old);
  }

  where(event) {
    const box = this.surface.getBoundingClientRect();
    return [fraction((event.clientX - box.left) / box.width), fraction((event.clientY - box.top) / box.height)];
  }

  /** Begin a mark at a press. Returns whether it was one. */
  press(event, target) {
    if (!this.tool || event.button !== 0) return false;
    event.preventDefault();
    this.keyed = false;
    this.begun = null;
    const kind = this.tool;
    const points = [this.where(event)];
    if (kind === "point") return this.add({ kind, points });
    target.setPointerCapture(event.pointerId);
    const move = (next) => {
      const point = this.where(next);
      if (kind === "rect") points[1] = point;
      else if (points.length < MOST_POINTS && Math.hypot(point[0] - points.at(-1)[0], point[1] - points.at(-1)[1]) > NEAR) points.push(point);
      if (points.length > 1) this.lay({ kind, points });
    };
    const end = () => {
      target.removeEventListener("pointermove", move);
      if (points.length > 1) this.add({ kind, points });
    };
    target.addEventListener("pointermove", move);
    target.addEventListener("pointerup", end, { once: true });
    target.addEventListener("pointercancel", () => (target.removeEventListener("pointermove", move), this.lay()), { once: true });
    return true;
  }

  add(mark) {
    this.marks = [...this.marks, mark];
    this.begun = null;
    this.lay();
    this.changed();
    return true;
  }

  /** Take the mark that was begun, or else the last one, away. */
  back() {
    if (this.begun) this.begun = null;
    else this.marks = this.marks.slice(0, -1);
    this.lay();
    this.changed();
  }

  finish() {
    if (this.begun && this.tool === "pen" && this.begun.length > 1) this.add({ kind: "pen", points: this.begun });
    this.begun = null;
  }

  /** Arrows and Enter while a tool is chosen. Returns whether the key was one of them. */
  key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!this.tool || (!way && event.key !== "Enter")) return false;
    this.keyed = true;
    const step = event.shiftKey ? STEP / 10 : STEP;
    if (way) this.at = this.at.map((value, axis) => fraction(value + step * way[axis]));
    else if (this.tool === "point") this.add({ kind: "point", points: [this.at] });
    else if (this.tool === "rect" && this.begun) this.add({ kind: "rect", points: [...this.begun, this.at] });
    else this.begun = [...(this.begun ?? []), this.at];
    this.lay();
    return true;
  }
}
