// Place: cutouts on a canvas, moved on the board or by number fields.

import * as api from "./api.js";
import * as board from "./board.js";
import * as boardzoom from "./boardzoom.js";
import { clamp, oneToOne, uprightAngle } from "./geometry.js";
import * as layers from "./layers.js";
import { titled } from "./layers.js";
import { onPreview, previewOf } from "./previews.js";
import { ask, forget } from "./steps.js";
import { change, desk, layoutHistory, randomId, watch } from "./store.js";
import { $, alertOf, h, keyed, onNumber, say, show, sorry } from "./widgets.js";

const SIZES = [
  ["Square", 1024, 1024],
  ["Portrait 4:5", 1024, 1280],
  ["Story 9:16", 1080, 1920],
  ["Landscape 3:2", 1536, 1024],
];
const FIELDS = { "layer-x": ["x", 100], "layer-y": ["y", 100], "layer-scale": ["scale", 100], "layer-rotation": ["rotation_deg", 1] };

let sizes = [];
let setStatus = () => {};

const selected = () => desk.layers.find((layer) => layer.key === desk.selected) ?? null;
/** `status(text)` sets the status line. */
export function open(status) {
  setStatus = status;
  board.open(showNumbers);
  layers.open(status);
  $("layer-name").addEventListener("change", ({ target }) => rename(target.value.trim()));
  for (const [id, [name, factor]] of Object.entries(FIELDS)) {
    onNumber($(id), (value) => edit((layer) => (layer[name] = name === "rotation_deg" ? uprightAngle(value) : value / factor), id));
  }
  onNumber($("canvas-width"), (value) => resize({ width: Math.round(value) }));
  onNumber($("canvas-height"), (value) => resize({ height: Math.round(value) }));
  $("canvas-size").addEventListener("change", (event) => {
    const size = sizes[Number(event.target.value)];
    if (size) resize({ width: size[1], height: size[2] });
  });
  $("background").addEventListener("change", (event) => {
    const { value } = event.target;
    change((now) => (now.background = value === "colour" ? $("background-colour").value : value), { layout: true });
  });
  $("background-colour").addEventListener("input", (event) => change((now) => (now.background = event.target.value), { layout: "colour" }));
  $("snap").addEventListener("change", (event) => change((now) => (now.snap = event.target.checked)));
  $("flip").addEventListener("click", () => edit((layer) => (layer.flip = !layer.flip)));
  $("actual-size").addEventListener("click", () => edit((layer) => (layer.scale = oneToOne(layer, desk.canvas))));
  $("forward").addEventListener("click", () => reorder(1));
  $("backward").addEventListener("click", () => reorder(-1));
  $("duplicate").addEventListener("click", duplicate);
  $("remove").addEventListener("click", remove);
  $("place-undo").addEventListener("click", layoutHistory.undo);
  $("place-redo").addEventListener("click", layoutHistory.redo);
  $("board").addEventListener("keydown", onKey);
  onPreview(sync);
  watch((what) => what === "desk" && sync());
  listSizes([]);
  sync();
}

/** Show the canvas sizes. The marketplaces' sizes come from the server's presets. */
export function listSizes(presets) {
  const markets = presets.map((preset) => {
    const [across, along] = preset.aspect ?? [1, 1];
    const longest = Math.min(4096, preset.advised_longest_px);
    const size = [across, along].map((side) => Math.round((longest * side) / Math.max(across, along)));
    return [preset.title, ...size];
  });
  sizes = [...SIZES, ...markets];
  const option = ([name, width, height], index) => h("option", { value: String(index) }, `${name}, ${width} × ${height}`);
  const ours = h("optgroup", { label: "Formats" }, ...SIZES.map(option));
  const theirs = h("optgroup", { label: "Marketplaces" }, ...markets.map((size, index) => option(size, SIZES.length + index)));
  $("canvas-size").replaceChildren(ours, ...(markets.length ? [theirs] : []), h("option", { value: "free" }, "Free size"));
  sync();
}

function sync() {
  const empty = desk.layers.length === 0;
  $("place-empty").hidden = !empty;
  $("board-frame").hidden = empty;
  show($("canvas-width"), desk.canvas.width);
  show($("canvas-height"), desk.canvas.height);
  const size = sizes.findIndex(([, width, height]) => width === desk.canvas.width && height === desk.canvas.height);
  const chosen = sizes[Number($("canvas-size").value)];
  const same = chosen && chosen[1] === desk.canvas.width && chosen[2] === desk.canvas.height; // two presets may have one size
  if (!same) $("canvas-size").value = size < 0 ? "free" : String(size);
  const colour = desk.background.startsWith("#");
  $("background").value = colour ? "colour" : desk.background;
  $("background-colour-row").hidden = !colour;
  if (colour) $("background-colour").value = desk.background;
  $("snap").checked = desk.snap;
  $("layers-empty").hidden = !empty;
  layers.show();
  $("layer-fields").disabled = !selected() || Boolean(selected().locked);
  say($("layer-legend"), selected()?.locked ? `${titled(selected())} is locked` : "Selected layer");
  show($("layer-name"), selected()?.name ?? "");
  $("place-undo").disabled = !layoutHistory.canUndo;
  $("place-redo").disabled = !layoutHistory.canRedo;
  const at = desk.layers.indexOf(selected());
  $("forward").disabled = at < 0 || at === desk.layers.length - 1;
  $("backward").disabled = at <= 0;
  showNumbers(selected());
  missing();
  board.lay();
}

function showNumbers(layer) {
  for (const [id, [name, factor]] of Object.entries(FIELDS)) {
    show($(id), layer ? Math.round(layer[name] * factor * 10) / 10 : "");
  }
  if (layer) $("flip").setAttribute("aria-pressed", String(layer.flip));
}

function missing() {
  const gone = desk.layers.filter((layer) => previewOf(layer.mask_id).missing);
  $("missing").hidden = gone.length === 0;
  keyed($("missing-list"), gone, (layer) => layer.key, (layer) =>
    h(
      "li",
      {},
      h("span", {}, titled(layer)),
      h("button", { className: "small", onclick: () => cutAgain(layer) }, "Cut it again"),
      h("button", { className: "small ghost", onclick: () => change((now) => (now.layers = now.layers.filter((one) => one.key !== layer.key)), { layout: true }) }, "Remove it"),
    ),
  );
}

/** Repeat a cut that was deleted or has expired, with the same strokes. */
async function cutAgain({ key, photo_id: photoId, points, boxes, candidate, steps }) {
  if (steps?.some(({ kind }) => kind === "file")) return alertOf("Its mask came from a file.", "Add the file again under Cut, and remove this layer.");
  try {
    forget(photoId);
    const masks = await (steps?.length ? ask(photoId, steps) : api.masks(photoId, { points, boxes }));
    const mask = masks[Math.min(candidate, masks.length - 1)];
    const { bitmap, width, height } = await api.bitmap(api.cutoutUrl(mask.id), 64);
    bitmap.close();
    change((now) => {
      const layer = now.layers.find((one) => one.key === key);
      if (layer) Object.assign(layer, { mask_id: mask.id, bbox: mask.cutout_bbox, cutout: { width, height } });
    });
  } catch (problem) {
    if (problem.code === "not_found") alertOf("Its photo is gone from the server, too.", "Add the photo again under Cut, cut it, and remove this layer.");
    else sorry(problem);
  }
}

/** Change the selected layer. Quick changes with one `mark` are one undo step. */
function edit(how, mark = true) {
  const key = desk.selected;
  change(
    (now) => {
      const layer = now.layers.find((one) => one.key === key);
      if (!layer || layer.locked) return;
      how(layer);
      board.keepOnCanvas(layer);
    },
    { layout: mark },
  );
}

function resize(size) {
  change((now) => (now.canvas = { ...now.canvas, ...size }), { layout: Object.keys(size).join() });
}

function rename(name) {
  const before = selected();
  if (!before || !name || name === before.name) return show($("layer-name"), before?.name ?? "");
  edit((layer) => (layer.name = name));
}

function reorder(by) {
  const at = desk.layers.indexOf(selected());
  if (at >= 0 && !selected().locked) layers.moveTo(desk.selected, at + by);
}

function duplicate() {
  const layer = selected();
  if (!layer) return;
  const copy = { ...structuredClone(layer), key: randomId(), x: layer.x + 0.06, y: layer.y, hidden: false, locked: false };
  change((now) => (now.layers.push(copy), (now.selected = copy.key)), { layout: true });
  setStatus(`${titled(copy)} was added in front.`);
}

function remove() {
  const layer = selected();
  if (!layer) return;
  if (layer.locked) return setStatus(`${titled(layer)} is locked. Unlock it first.`);
  const name = titled(layer);
  change(
    (now) => {
      now.layers = now.layers.filter((one) => one.key !== layer.key);
      now.selected = now.layers.at(-1)?.key ?? null;
    },
    { layout: true },
  );
  setStatus(`${name} was removed. Undo restores it.`);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey) {
    if (event.key.toLowerCase() !== "d") return;
    duplicate();
    event.preventDefault();
    return;
  }
  const px = event.shiftKey ? 10 : 1;
  const nudge = { ArrowLeft: [-px, 0], ArrowRight: [px, 0], ArrowUp: [0, -px], ArrowDown: [0, px] }[event.key];
  if (nudge) {
    edit((layer) => {
      layer.x = clamp(layer.x + nudge[0] / desk.canvas.width, -1, 2);
      layer.y = clamp(layer.y + nudge[1] / desk.canvas.height, -1, 2);
    }, "nudge");
  } else if (event.key === "Delete" || event.key === "Backspace") remove();
  else if (event.key === "+" || event.key === "=") edit((layer) => (layer.scale = clamp(layer.scale * 1.02, 0.01, 4)), "scale");
  else if (event.key === "-") edit((layer) => (layer.scale = clamp(layer.scale / 1.02, 0.01, 4)), "scale");
  else if (event.key === "]") edit((layer) => (layer.rotation_deg = uprightAngle(layer.rotation_deg + px)), "turn");
  else if (event.key === "[") edit((layer) => (layer.rotation_deg = uprightAngle(layer.rotation_deg - px)), "turn");
  else if (event.key === "f") edit((layer) => (layer.flip = !layer.flip));
  else if (event.key === "PageUp") reorder(1);
  else if (event.key === "PageDown") reorder(-1);
  else if (event.key === "0") boardzoom.toggle();
  else if (event.key === "Escape") change((now) => (now.selected = null));
  else return;
  event.preventDefault();
}
