// Draws a mask: everything but the product is dimmed, and the product has an outline.

import * as api from "./api.js";

const LONGEST_PX = 1280;
const DIMMED = "rgb(12 12 12 / 0.62)";

function blank(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}

/** The mask as a white canvas whose alpha is the product, at most 1280 px. */
export async function maskShape(id) {
  const { bitmap } = await api.bitmap(api.maskUrl(id, LONGEST_PX), LONGEST_PX);
  const canvas = blank(bitmap.width, bitmap.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let at = 0; at < words.length; at += 1) words[at] = ((words[at] & 0xff) << 24) | 0xffffff;
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

/** Dim the whole photo: an empty mask, to paint on. */
export function dimmed(target, { width, height }) {
  const factor = Math.min(1, LONGEST_PX / Math.max(width, height));
  Object.assign(target, { width: Math.round(width * factor), height: Math.round(height * factor), hidden: false });
  const pen = target.getContext("2d");
  pen.fillStyle = DIMMED;
  pen.fillRect(0, 0, target.width, target.height);
}

/** A copy of what `drawShape` or `dimmed` drew, for `drawStroke`. */
export function copyOf(canvas) {
  const copy = blank(canvas.width, canvas.height);
  copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}

/** Draw a brush stroke, a Path2D in photo pixels, on the copy `before`: what shows until the server's mask is there. */
export function drawStroke(target, before, photo, { mode, radius, path }) {
  const pen = target.getContext("2d");
  pen.save();
  pen.globalCompositeOperation = "copy";
  pen.drawImage(before, 0, 0);
  pen.scale(target.width / photo.width, target.height / photo.height);
  Object.assign(pen, { lineCap: "round", lineJoin: "round", lineWidth: 2 * radius, globalCompositeOperation: "destination-out" });
  pen.stroke(path);
  if (mode === "erase") Object.assign(pen, { globalCompositeOperation: "source-over", strokeStyle: DIMMED }).stroke(path);
  pen.restore();
}

/** Draw a shape over its photo. `target` gets the shape's size. `shown`: its width in CSS pixels. `line`: a colour. */
export function drawShape(target, shape, shown, line) {
  const { width, height } = shape;
  Object.assign(target, { width, height });
  const pen = target.getContext("2d");
  pen.fillStyle = DIMMED;
  pen.fillRect(0, 0, width, height);
  pen.globalCompositeOperation = "destination-out";
  pen.drawImage(shape, 0, 0);
  pen.globalCompositeOperation = "source-over";
  pen.drawImage(outline(shape, Math.max(1, (2 * width) / Math.max(1, shown)), line), 0, 0);
}

function outline(shape, thick, line) {
  const ring = blank(shape.width, shape.height);
  const pen = ring.getContext("2d");
  for (let turn = 0; turn < 12; turn += 1) {
    const angle = (turn * Math.PI) / 6;
    pen.drawImage(shape, thick * Math.cos(angle), thick * Math.sin(angle));
  }
  pen.globalCompositeOperation = "destination-out";
  pen.drawImage(shape, 0, 0);
  pen.globalCompositeOperation = "source-in";
  pen.fillStyle = line;
  pen.fillRect(0, 0, ring.width, ring.height);
  return ring;
}
