// The candidates of a cut, as buttons.

import { maskShape } from "./mask.js";
import { $, h } from "./widgets.js";

const OTHERS_AFTER_MS = 150; // the first candidate is fetched before the others
const KEPT_SHAPES = 24;

const shapes = new Map(); // mask id -> a promise of its shape

/** The button of a photo's candidate: a picture of it and how sure the segmenter is. `take` is called by a click. */
export function candidate(mask, number, take) {
  const thumb = h("canvas", { "aria-hidden": "true" });
  setTimeout(async () => {
    const shape = await shapeOf(mask.id).catch(() => null);
    await $("photo-image").decode().catch(() => {}); // the photo may have just been exchanged
    if (shape) drawThumb(thumb, shape);
  }, number === 1 ? 0 : OTHERS_AFTER_MS);
  const own = mask.source === "alpha";
  const sure = own ? "As in the file" : `${Math.round(mask.score * 100)} %`;
  const label = own ? `Candidate ${number}, the file's own transparency` : `Candidate ${number}, ${sure} sure`;
  return h("button", { className: "candidate", "aria-label": label, onclick: take }, thumb, h("span", {}, sure));
}

function drawThumb(thumb, shape) {
  const factor = 72 / Math.max(shape.width, shape.height);
  Object.assign(thumb, { width: shape.width * factor * devicePixelRatio, height: shape.height * factor * devicePixelRatio });
  const pen = thumb.getContext("2d");
  pen.drawImage(shape, 0, 0, thumb.width, thumb.height);
  pen.globalCompositeOperation = "source-in"; // the product's pixels distinguish parts of the same shape
  pen.drawImage($("photo-image"), 0, 0, thumb.width, thumb.height);
}

/** A mask's shape, fetched once. */
export function shapeOf(id) {
  if (!shapes.has(id)) {
    const shape = maskShape(id);
    shapes.set(id, shape);
    shape.catch(() => shapes.delete(id));
    if (shapes.size > KEPT_SHAPES) shapes.delete(shapes.keys().next().value);
  }
  return shapes.get(id);
}
