// What keeps a picture from passing a channel's rules, and the layout that passes.

import * as api from "./api.js";
import { bounds, layerSize } from "./geometry.js";

const OVER = 0.03; // aim this much above the least fill, because the server measures the soft edge more exactly
const MOST_FILL = 0.95;
const LONGEST_PX = 4096; // of a canvas
const MOST_ENLARGED = 2; // times a main image's product may be enlarged
const PROBE_PX = 512; // the longer side of the canvas on which the product's extent is measured

const plainWhite = ({ background }) => ["white", "transparent", "#ffffff"].includes(background);

/** What a picture of this desk lacks for the channel, as noun phrases; empty if nothing is known to be wrong. `generated`: an engine painted its product. */
export function lacking(preset, { canvas, layers, background, brief }, generated = false) {
  const list = generated && preset.locked_product ? ["the product as it was photographed"] : [];
  if (preset.background === "white") {
    if (!plainWhite({ background })) list.push("a white background");
    if (brief.shadow !== "none") list.push("no shadow");
  }
  if (preset.aspect && wrongShape(preset, canvas) && !plainWhite({ background })) list.push(`a canvas of ${preset.aspect.join(":")}`);
  if (generated) return list; // nobody knows where the product stands
  if (preset.fill_min && fillOf(boxOf(layers.map((layer) => bounds(layer, canvas))), canvas) < preset.fill_min) {
    list.push(`a product that fills ${Math.round(100 * preset.fill_min)} % of the frame`);
  }
  if (preset.role === "main" && enlargement(layers, canvas) > 1.005 * MOST_ENLARGED) list.push(`a product enlarged at most ${MOST_ENLARGED} times`);
  return list;
}

/** The largest factor by which a layer enlarges its cutout. */
const enlargement = (layers, canvas) =>
  Math.max(...layers.map((layer) => Math.max(...Object.values(layerSize(layer, canvas))) / Math.max(layer.cutout.width, layer.cutout.height)));

const wrongShape = ({ aspect: [across, along] }, { width, height }) => Math.abs((width * along) / (height * across) - 1) >= 0.002;
const fillOf = (box, { width, height }) => Math.max((box.x1 - box.x0) / width, (box.y1 - box.y0) / height);

function boxOf(boxes) {
  const all = (name, pick) => pick(...boxes.map((box) => box[name]));
  return { x0: all("x0", Math.min), y0: all("y0", Math.min), x1: all("x1", Math.max), y1: all("y1", Math.max) };
}

/** A copy of the desk `made` that passes: background, shadow, canvas, and all layers as one group in the middle. */
export async function passing(preset, made) {
  const { canvas } = made;
  const [across, along] = preset.aspect ?? [canvas.width, canvas.height];
  const sized = (longest) => ({ width: Math.round((longest * across) / Math.max(across, along)), height: Math.round((longest * along) / Math.max(across, along)) });
  const target = sized(Math.min(LONGEST_PX, Math.max(preset.advised_longest_px, Math.max(canvas.width, canvas.height))));
  const box = await extentOf(made);
  const grown = Math.max(target.width, target.height) / Math.max(canvas.width, canvas.height); // a scale is a share of the longer side
  const fill = Math.max(((box.x1 - box.x0) * grown) / target.width, ((box.y1 - box.y0) * grown) / target.height);
  const wanted = preset.fill_min && fill < preset.fill_min ? preset.fill_min + OVER : fill;
  const factor = Math.min(MOST_FILL, wanted) / fill;
  const [middleX, middleY] = [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2];
  const layers = made.layers.map((layer) => ({
    ...layer,
    x: 0.5 + ((layer.x * canvas.width - middleX) * grown * factor) / target.width,
    y: 0.5 + ((layer.y * canvas.height - middleY) * grown * factor) / target.height,
    scale: layer.scale * factor,
  }));
  const white = preset.background === "white";
  const over = preset.role === "main" ? enlargement(layers, target) / MOST_ENLARGED : 1;
  return {
    // places and scales are shares of the canvas, so a smaller one shows the same
    canvas: over > 1 ? sized(Math.floor(Math.max(target.width, target.height) / over)) : target,
    layers,
    background: white ? "white" : made.background,
    brief: white ? { ...made.brief, shadow: "none", reflection: null, relight: null, style: null } : { ...made.brief },
  };
}

/** The box of the products' visible pixels in canvas pixels, off the canvas as well. */
async function extentOf({ canvas, layers }) {
  const k = PROBE_PX / Math.max(canvas.width, canvas.height);
  const probe = document.createElement("canvas");
  const all = boxOf(layers.map((layer) => bounds(layer, canvas)));
  Object.assign(probe, { width: Math.ceil((all.x1 - all.x0) * k) + 2, height: Math.ceil((all.y1 - all.y0) * k) + 2 });
  const pen = probe.getContext("2d", { willReadFrequently: true });
  for (const layer of layers) {
    const { bitmap } = await api.bitmap(api.cutoutUrl(layer.mask_id), PROBE_PX);
    const { width, height } = layerSize(layer, canvas);
    pen.setTransform(k, 0, 0, k, (layer.x * canvas.width - all.x0) * k + 1, (layer.y * canvas.height - all.y0) * k + 1);
    pen.rotate((layer.rotation_deg * Math.PI) / 180);
    if (layer.flip) pen.scale(-1, 1);
    pen.drawImage(bitmap, -width / 2, -height / 2, width, height);
    bitmap.close();
  }
  const { data } = pen.getImageData(0, 0, probe.width, probe.height);
  let [x0, y0, x1, y1] = [probe.width, probe.height, 0, 0];
  for (let y = 0; y < probe.height; y += 1) {
    for (let x = 0; x < probe.width; x += 1) {
      if (data[4 * (y * probe.width + x) + 3] < 128) continue;
      [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + 1), Math.max(y1, y + 1)];
    }
  }
  if (x1 === 0) return all;
  return { x0: all.x0 + (x0 - 1) / k, y0: all.y0 + (y0 - 1) / k, x1: all.x0 + (x1 - 1) / k, y1: all.y0 + (y1 - 1) / k };
}
