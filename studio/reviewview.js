// The viewer of Review: the picture beside, under, or minus its master photo, which is aligned by the layer's transform.

import * as api from "./api.js";
import { bounds, centre, clamp, layerSize, photoUnder } from "./geometry.js";
import { placed } from "./places.js";
import { decoded, layersOf, masterOf } from "./reviewlist.js";
import { $, h, keyed, say } from "./widgets.js";
import { Zoom } from "./zoom.js";

export const VIEWS = ["picture", "side", "swipe", "blink", "difference"];
const BLINK_MS = 600;
const MOST_PX = 2048; // longest side of the difference
const INSIDE = 250; // mask values of the product itself; lower ones are its soft edge
const TIMES = 8;

let view = "picture";
let shown = null; // {item, picture, layers, layer, master}
let share = 50; // of the swipe, percent
let blinking = 0;
let boxes = true;
let turn = 0; // of the difference that is computed

const zooms = [];

export function open(pressed) {
  for (const [room, content] of [["pane", "content"], ["pane-master", "content-master"]]) {
    const zoom = new Zoom($(room), $(content), () => (together(zoom), lay()));
    zooms.push(zoom);
    $(room).addEventListener("pointerdown", (event) => pressed(event, $(room)) || drag(event, $(room), zoom));
  }
}

export const isView = () => view;
export const zoom = () => zooms[0];

/** What a view needs besides the picture, so that it can be fetched ahead. */
export async function prepare(item, which = view) {
  const picture = decoded(item.image.url);
  const layers = await layersOf(item);
  if (which !== "picture" && layers.length) await masterOf(main(layers, item)).catch(() => null);
  return picture;
}

/** The layer that shows the most; of a painted product, its first photo. */
function main(layers, { shot }) {
  if (layers[0].isView) return layers[0];
  const area = (layer) => Object.values(layerSize(layer, shot.request.canvas)).reduce((a, b) => a * b);
  return [...layers].sort((a, b) => area(b) - area(a))[0];
}

/** Show a picture. The zoom stays for pictures of the same size, so that a detail can be followed through a set. */
export async function show(item) {
  const picture = await decoded(item.image.url);
  const layers = await layersOf(item);
  picture.id = "picture";
  picture.className = "whole";
  picture.alt = `Picture ${item.number}, ${item.shot.sku ?? "without a SKU"}`;
  const size = { width: item.image.width, height: item.image.height };
  const same = shown && shown.item.image.width === size.width && shown.item.image.height === size.height;
  $("picture").replaceWith(picture);
  shown = { item, picture, layers, layer: layers.length ? main(layers, item) : null, master: null };
  if (!same) for (const one of zooms) one.open(size);
  await showView();
}

export async function use(next) {
  view = next;
  if (shown) await showView();
}

async function showView() {
  const mine = shown;
  $("panes").dataset.view = view;
  delete $("panes").dataset.master;
  for (const button of document.querySelectorAll("[data-view][aria-pressed]")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  clearInterval(blinking);
  turn += 1;
  showPhotos(mine);
  const needs = view !== "picture";
  if (needs && mine.layer) mine.master = await masterOf(mine.layer).catch(() => null);
  if (mine !== shown) return;
  const has = needs && mine.master;
  $("pane-master").hidden = view !== "side" || !has;
  $("wipe").hidden = view !== "swipe" || !has;
  $("difference").hidden = true;
  words(needs && !has ? "The master photo was deleted: there is nothing to compare with." : view === "blink" && !moves() ? "Space blinks" : "");
  for (const original of document.querySelectorAll(".original")) if (has && original.getAttribute("src") !== mine.master.getAttribute("src")) original.src = mine.master.src;
  for (const one of zooms) one.lay();
  lay();
  if (!has) $("clip").style.visibility = "hidden";
  else $("clip").style.visibility = "";
  if (has && view === "blink" && moves()) blinking = setInterval(blink, BLINK_MS);
  if (has && view === "difference") await (mine.layer.isView ? words("An engine painted the product, so none of its pixels are a photo's.") : subtract(mine, turn));
}

/** The photos of a painted product, all at once. Pressing one puts it beside the picture. */
function showPhotos({ layers, layer }) {
  const photos = layers.filter(({ isView }) => isView);
  $("photos-field").hidden = !photos.length;
  keyed($("photos"), photos, ({ photo }) => photo.id, photoOf, (button, one) => {
    button.setAttribute("aria-pressed", String(one === layer && view !== "picture"));
    button.setAttribute("aria-label", `Photo ${photos.indexOf(one) + 1} of the product`);
  });
}

function photoOf({ photo }) {
  const beside = () => {
    shown.layer = shown.layers.find((one) => one.photo.id === photo.id);
    use(view === "picture" || view === "difference" ? "side" : view);
  };
  return h("button", { className: "photo-of", onclick: beside }, h("img", { src: api.photoUrl(photo.id), alt: "", loading: "lazy", decoding: "async" }));
}

const moves = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;

export function blink() {
  if (view === "blink") $("panes").toggleAttribute("data-master");
}

export function wipe(by) {
  share = clamp(share + by, 0, 100);
  lay();
}

export function toggleBoxes() {
  boxes = !boxes;
  lay();
}

function words(text) {
  say($("view-words"), text);
  $("view-words").hidden = !text;
}

/** Give the other room the zoom of this one. */
function together(source) {
  for (const other of zooms) {
    if (other === source || !other.room.clientWidth || !source.room.clientWidth) continue;
    const near = ["zoom", "x", "y"].every((name) => Math.abs(other.view[name] - source.view[name]) < 0.5);
    if (!near) (other.view = { ...source.view }), other.lay();
  }
}

function drag(event, room, one) {
  if (event.button !== 0) return;
  event.preventDefault();
  room.setPointerCapture(event.pointerId);
  let last = event;
  const wiping = view === "swipe" && room.id === "pane";
  const move = (next) => {
    const box = $("content").getBoundingClientRect();
    if (wiping) (share = clamp((100 * (next.clientX - box.left)) / box.width, 0, 100)), lay();
    else one.pan(next.clientX - last.clientX, next.clientY - last.clientY);
    last = next;
  };
  if (wiping) move(event);
  room.addEventListener("pointermove", move);
  const end = () => room.removeEventListener("pointermove", move);
  room.addEventListener("pointerup", end, { once: true });
  room.addEventListener("pointercancel", end, { once: true });
}

/** Lay the master photo under the product, the swipe's line and the verdict's boxes. */
function lay() {
  if (!shown) return;
  say($("zoom-fit"), zooms[0].view.zoom === 1 ? "Fit" : `${Math.round(100 * zooms[0].scale * devicePixelRatio)} %`);
  $("wipe").style.left = `${share}%`;
  $("clip").style.clipPath = view === "swipe" ? `inset(0 ${100 - share}% 0 0)` : "none";
  const { canvas } = shown.item.shot.request;
  if (shown.layer) {
    const { layer } = shown;
    const placed = photoUnder(layer, layer.bbox, layer.photo, canvas);
    for (const [at, original] of [...document.querySelectorAll(".original")].entries()) {
      const k = zooms[at].scale;
      const factor = placed.factor * k;
      Object.assign(original.style, { width: `${layer.photo.width}px`, height: `${layer.photo.height}px` });
      original.style.transform = `translate(${placed.x * k}px, ${placed.y * k}px) rotate(${layer.rotation_deg}deg) scale(${layer.flip ? -factor : factor}, ${factor}) translate(-50%, -50%)`;
    }
  }
  layBoxes(canvas);
}

const OF_THE_PRODUCT = ["lock", "relit_lock", "relight", "frame", "fill", "product"];
const WORST = ["failed", "warning", "ok"];

/** A box around each product, in the colour of the worst finding about it, and one at the place of each other finding; findings that are not ok are named. */
function layBoxes(canvas) {
  const findings = shown.item.image.verdict.findings.filter(({ check }) => OF_THE_PRODUCT.includes(check));
  const level = WORST.find((one) => findings.some((finding) => finding.level === one)) ?? "ok";
  const seen = boxes && view !== "difference" ? shown.layers.filter(({ isView }) => !isView) : [];
  const found = boxes && view !== "difference" ? placed(shown.item.image.verdict) : [];
  $("boxes").replaceChildren(...seen.map((layer) => polygon(layer, canvas, level)), ...found.map(({ box, level }) => shape(rectangle(box), level)));
  const named = findings.filter((finding) => finding.level !== "ok").map(({ check }) => check);
  const labels = named.length ? seen.slice(0, 1) : [];
  $("box-words").replaceChildren(
    ...found.map(({ check, level, box }) => {
      const label = h("span", { "data-level": level }, check);
      Object.assign(label.style, { left: `${100 * box[0]}%`, top: `${100 * Math.max(box[1], 26 / zooms[0].scale / canvas.height)}%` });
      return label;
    }),
    ...labels.map((layer) => {
      const box = bounds(layer, canvas);
      const label = h("span", { "data-level": level }, named.join(", "));
      Object.assign(label.style, { left: `${(100 * clamp(box.x0, 0, canvas.width)) / canvas.width}%`, top: `${(100 * clamp(box.y0, 26 / zooms[0].scale, canvas.height)) / canvas.height}%` });
      return label;
    }),
  );
}

function polygon(layer, canvas, level) {
  const { width, height } = layerSize(layer, canvas);
  const at = centre(layer, canvas);
  const angle = (layer.rotation_deg * Math.PI) / 180;
  const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => {
    const [dx, dy] = [(x * width) / 2, (y * height) / 2];
    return [(1000 * (at.x + dx * Math.cos(angle) - dy * Math.sin(angle))) / canvas.width, (1000 * (at.y + dx * Math.sin(angle) + dy * Math.cos(angle))) / canvas.height].join(",");
  });
  return shape(corners, level);
}

const rectangle = ([x0, y0, x1, y1]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map((corner) => corner.map((at) => 1000 * at).join(","));

function shape(corners, level) {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
  drawn.setAttribute("points", corners.join(" "));
  drawn.dataset.level = level;
  return drawn;
}

/** Draw |picture - master| times 8 inside the mask; the rest of the picture is dimmed. */
async function subtract({ item, picture, master, layer }, mine) {
  const { canvas } = item.shot.request;
  const k = Math.min(1, MOST_PX / Math.max(canvas.width, canvas.height));
  const [width, height] = [Math.round(canvas.width * k), Math.round(canvas.height * k)];
  words("Comparing…");
  let mask = null;
  try {
    mask = (await api.bitmap(api.maskUrl(layer.mask_id, Math.max(layer.photo.width, layer.photo.height)), Infinity)).bitmap;
  } catch (problem) {
    if (!problem.code) throw problem;
    return words("The mask was deleted: the difference cannot be shown.");
  }
  if (mine !== turn) return mask.close();
  const placed = photoUnder(layer, layer.bbox, layer.photo, canvas);
  const drawn = (source, aligned) => {
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    if (!aligned) context.drawImage(source, 0, 0, width, height);
    else {
      context.setTransform(k, 0, 0, k, 0, 0);
      context.translate(placed.x, placed.y);
      context.rotate((layer.rotation_deg * Math.PI) / 180);
      context.scale(layer.flip ? -placed.factor : placed.factor, placed.factor);
      context.drawImage(source, -layer.photo.width / 2, -layer.photo.height / 2, layer.photo.width, layer.photo.height);
    }
    return context.getImageData(0, 0, width, height).data;
  };
  const [a, b, inside] = [drawn(picture, false), drawn(master, true), drawn(mask, true)];
  mask.close();
  const result = new ImageData(width, height);
  const out = result.data;
  let [largest, product, differing] = [0, 0, 0];
  for (let at = 0; at < out.length; at += 4) {
    out[at + 3] = 255;
    if (inside[at] >= INSIDE && inside[at + 3] === 255) {
      let most = 0;
      for (let colour = 0; colour < 3; colour += 1) {
        const by = Math.abs(a[at + colour] - b[at + colour]);
        out[at + colour] = by * TIMES; // clamped to 255
        if (by > most) most = by;
      }
      product += 1;
      if (most) differing += 1;
      if (most > largest) largest = most;
    } else {
      const grey = (a[at] * 3 + a[at + 1] * 6 + a[at + 2]) / 40 + 12;
      out[at] = out[at + 1] = out[at + 2] = grey;
    }
  }
  Object.assign($("difference"), { width, height });
  $("difference").getContext("2d").putImageData(result, 0, 0);
  $("difference").hidden = false;
  const exact = placed.factor === 1 && !layer.rotation_deg && k === 1;
  const relit = item.image.verdict.findings.some(({ check }) => check === "relit_lock");
  const note = (exact ? "" : " The server resized the product in its own way, so fine edges glow.") + (relit ? " The product has the scene's light; the verdict proves that nothing else was done to it." : "");
  const share_ = product ? (100 * differing) / product : 0;
  words(largest ? `Largest difference ${largest} of 255, in ${share_ < 0.1 ? "under 0.1" : share_.toFixed(1)} % of the product.${note}` : "No pixel of the product differs.");
}
