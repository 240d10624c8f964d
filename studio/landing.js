// Where a product lands on the canvas: beside those that are there, on one baseline. Pure, without DOM or state.

import { BASELINE, MARGIN, bounds, clamp, layerSize } from "./geometry.js";

const USUAL_SCALE = 0.6;
const LEAST_SCALE = 0.12; // a gap for less than this is no gap
const CROWDED_SCALE = 0.3;
const GAP = 0.03; // between products, of the canvas's width

/**
 * The layers with a new one in front. As long as nobody has moved a product, all stand in a row; otherwise the new one
 * takes the widest gap and the others stay. Returns new objects for the layers that move.
 */
export function landed(layers, layer, canvas) {
  if (layers.every(untouched)) return row([...layers, layer], canvas);
  return [...layers, inGap(layers, layer, canvas)];
}

const untouched = ({ landed, x, y, scale, rotation_deg: turn, flip }) => Boolean(landed) && landed.join() === [x, y, scale].join() && turn === 0 && !flip;

/** Width and height of a layer in canvas pixels for each unit of its scale. */
function unit({ cutout: { width, height } }, canvas) {
  const each = Math.max(canvas.width, canvas.height) / Math.max(width, height);
  return { width: width * each, height: height * each };
}

function row(layers, canvas) {
  const margin = MARGIN * Math.min(canvas.width, canvas.height);
  const units = layers.map((layer) => unit(layer, canvas));
  const gap = GAP * canvas.width;
  const room = canvas.width - 2 * margin - gap * (layers.length - 1);
  const fits = [room / units.reduce((sum, { width }) => sum + width, 0), ...units.map(({ height }) => (canvas.height - 2 * margin) / height)];
  const scale = rounded(Math.min(USUAL_SCALE, ...fits));
  const whole = units.reduce((sum, { width }) => sum + width * scale, gap * (layers.length - 1));
  let left = (canvas.width - whole) / 2;
  return layers.map((layer, index) => {
    const width = units[index].width * scale;
    left += width + gap;
    return put(layer, (left - gap - width / 2) / canvas.width, scale, canvas);
  });
}

function inGap(layers, layer, canvas) {
  const margin = MARGIN * Math.min(canvas.width, canvas.height);
  const each = unit(layer, canvas).width;
  const taken = layers.map((one) => bounds(one, canvas)).sort((a, b) => a.x0 - b.x0);
  let widest = { from: 0, to: 0 };
  let from = margin;
  for (const { x0, x1 } of [...taken, { x0: canvas.width - margin, x1: Infinity }]) {
    if (x0 - from > widest.to - widest.from) widest = { from, to: x0 };
    from = Math.max(from, x1);
  }
  const room = widest.to - widest.from - 2 * GAP * canvas.width;
  const scale = rounded(Math.min(USUAL_SCALE, room / each));
  if (scale >= LEAST_SCALE) return put(layer, (widest.from + widest.to) / 2 / canvas.width, scale, canvas);
  const places = [0.5, 0.2, 0.8, 0.35, 0.65].map((x) => put(layer, x, CROWDED_SCALE, canvas));
  return places.sort((a, b) => covered(a, taken, canvas) - covered(b, taken, canvas))[0];
}

/** How many square pixels of a layer's box lie over others. */
function covered(layer, taken, canvas) {
  const own = bounds(layer, canvas);
  const over = (a0, a1, b0, b1) => Math.max(0, Math.min(a1, b1) - Math.max(a0, b0));
  return taken.reduce((sum, box) => sum + over(own.x0, own.x1, box.x0, box.x1) * over(own.y0, own.y1, box.y0, box.y1), 0);
}

function put(layer, x, scale, canvas) {
  const { height } = layerSize({ ...layer, scale }, canvas);
  const y = Math.max(0.5, BASELINE - height / 2 / canvas.height);
  return { ...layer, x, y, scale, landed: [x, y, scale] };
}

const rounded = (scale) => clamp(Math.floor(scale * 1000) / 1000, 0.01, 4);
