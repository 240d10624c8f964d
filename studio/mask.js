// Draws a mask: everything but the product is dimmed, and the product has an outline.

import * as api from "./api.js";

const LONGEST_PX = 1280;
const DIM = 0.62;

function blank(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}

/** The mask as a white canvas whose alpha is the product, at most 1280 px. */
export async function maskShape(id) {
  const { bitmap } = await api.bitmap(api.maskUrl(id), LONGEST_PX);
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

/** Draw a shape over its photo. `target` gets the shape's size. `shown`: its width in CSS pixels. `line`: a colour. */
export function drawShape(target, shape, shown, line) {
  const { width, height } = shape;
  Object.assign(target, { width, height });
  const pen = target.getContext("2d");
  pen.fillStyle = `rgb(12 12 12 / ${DIM})`;
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
