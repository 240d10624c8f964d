// Cut: from photos to cutouts. Each step (a click, a box, "automatic", a brush stroke, a mask file) requests masks.

import * as api from "./api.js";
import { candidate, shapeOf } from "./candidates.js";
import { drawShape } from "./mask.js";
import * as pointing from "./pointing.js";
import * as steps from "./steps.js";
import { change, desk, randomId, watch } from "./store.js";
import * as tools from "./tools.js";
import * as uploads from "./uploads.js";
import { $, alertOf, alerted, dismiss, h, iconButton, keyed, loaded, say, sorry, TRY_AGAIN_MS } from "./widgets.js";
import { Zoom } from "./zoom.js";

const USUAL_WIDTH_PX = 900; // a photo's width on the screen, when it is drawn before it is visible
const PASSING = new Set(["offline", "not_ready", "busy"]); // the same click may be answered later
const UNSURE = 0.75; // below this score a cut is shown as unsure
const UNSURE_WORDS = "This cut is uncertain. Draw a box around the product, or mend it with the brush";

let zoom;
let label = 1; // the label of a plain click
let asking = null; // the running request: {control, answer}
let adding = false; // a product is being added to the canvas
let drawn = ""; // the mask that the overlay shows
let setStatus = () => {};
const undone = new Map(); // photo -> the steps that were undone, the last one first

const photo = () => desk.photos.find((one) => one.id === desk.photo) ?? null;
export const cutOf = (id) => desk.cuts[id] ?? { strokes: [], masks: [], chosen: 0 };

/** `status(text)` sets the status line. */
export function open(status) {
  setStatus = status;
  zoom = new Zoom($("photo-room"), $("photo"), marks);
  pointing.open(zoom, {
    photo,
    press: (at, turned) => !asking && steps.press(desk.photo, stepsWith(pointAt(at, turned)))?.then(fetchShape, () => {}),
    nopress: steps.forgo,
    click: (at, turned) => add(pointAt(at, turned)),
    box: (box) => add({ kind: "box", box }),
    brush: tools.brush,
    loading: tools.loading,
    tool: (key) => tools.use({ c: "click", p: "add", e: "erase" }[key]),
    undo,
    candidate: (number) => $("candidate-list").children[number - 1]?.click(),
    status,
  });
  uploads.open({ changed: sync, status });
  tools.open({ photo, step: add, redraw, changed: controls });
  $("photo-image").addEventListener("load", () => (($("photo").hidden = false), zoom.lay(), tools.load()));
  $("photo-image").addEventListener("error", () => photo() && reload(photo()));
  $("add-photos").addEventListener("change", ({ target }) => (uploads.addFiles([...target.files]), (target.value = "")));
  $("choose-files").addEventListener("click", () => $("add-photos").click());
  $("zoom-in").addEventListener("click", zoom.larger);
  $("zoom-out").addEventListener("click", zoom.smaller);
  $("zoom-fit").addEventListener("click", zoom.toggle);
  $("mark-product").addEventListener("click", () => mean(1));
  $("mark-background").addEventListener("click", () => mean(0));
  $("add-mask").addEventListener("change", ({ target }) => (useMask(target.files[0]), (target.value = "")));
  $("automatic").addEventListener("click", () => renew([{ kind: "auto" }]));
  $("cut-undo").addEventListener("click", undo);
  $("cut-redo").addEventListener("click", redo);
  $("cut-clear").addEventListener("click", () => renew([]));
  $("add-to-canvas").addEventListener("click", addToCanvas);
  watch((what) => what === "desk" && sync());
  sync();
}

function mean(meaning) {
  label = meaning;
  $("mark-product").setAttribute("aria-pressed", String(label === 1));
  $("mark-background").setAttribute("aria-pressed", String(label === 0));
}

/** Send a mask file, which becomes the photo's cut. */
export async function useMask(file) {
  const open = photo();
  if (!open || !file) return;
  try {
    const mask = await api.putMask(open.id, file);
    if (photo()?.id === open.id) add({ kind: "file", mask });
    setStatus(`${file.name} is the mask of ${open.name}.`);
  } catch (problem) {
    sorry(problem, { key: file.name });
  }
}

function sync() {
  const open = photo();
  const coming = uploads.coming();
  $("cut-empty").hidden = open !== null || coming > 0;
  $("photo-room").hidden = open === null;
  $("cut-loading").hidden = !(coming > 0 && open === null);
  $("strip").hidden = desk.photos.length === 0 && (coming === 0 || open === null);
  keyed($("strip-photos"), desk.photos, (one) => one.id, stripItem, (item, one) => {
    const isOpen = one.id === desk.photo;
    if (isOpen && item.firstChild.getAttribute("aria-pressed") !== "true") queueMicrotask(() => item.scrollIntoView({ block: "nearest", inline: "nearest" }));
    item.firstChild.setAttribute("aria-pressed", String(isOpen));
  });
  $("strip-busy").hidden = coming === 0 || open === null;
  $("photo-notes").textContent = open?.notes ?? "";
  $("photo-notes").hidden = !open?.notes;
  const image = $("photo-image");
  if (open && image.dataset.id !== open.id) {
    image.dataset.id = open.id;
    $("photo").hidden = true;
    image.src = api.photoUrl(open.id);
    pointing.reset();
    tools.fresh();
    zoom.open(open);
    if (cutOf(open.id).pending) queueMicrotask(() => setStrokes(cutOf(open.id).strokes)); // left before its answer came
  }
  if (!open) delete image.dataset.id;
  controls();
  overlay();
}

function stripItem(one) {
  const show = () => change((now) => (now.photo = one.id));
  const remove = iconButton("close", `Remove ${one.name}`, () => removePhoto(one), "strip-remove");
  return h(
    "li",
    {},
    h("button", { className: "strip-photo", title: one.name, "aria-label": one.name, onclick: show }, h("img", { src: api.photoUrl(one.id), alt: "", loading: "lazy", decoding: "async" })),
    remove,
  );
}

/** Remove a photo from the strip. The server keeps it; its cut and layers stay. */
function removePhoto(one) {
  const at = desk.photos.indexOf(one);
  change((now) => {
    now.photos = now.photos.filter((other) => other.id !== one.id);
    if (now.photo === one.id) now.photo = now.photos.at(-1)?.id ?? null;
  });
  const back = () => change((now) => {
    if (!now.photos.some((other) => other.id === one.id)) now.photos.splice(at, 0, one);
    now.photo = one.id;
  });
  alertOf(`${one.name} was removed from the strip.`, "Its cut and its layers are kept.", { key: "removed", note: true, action: { label: "Put it back", run: back } });
}

function controls() {
  const open = photo();
  const cut = open ? cutOf(open.id) : { strokes: [], masks: [], chosen: 0 };
  const busy = asking !== null || tools.loading();
  $("cut-undo").disabled = cut.strokes.length === 0;
  $("cut-redo").disabled = !undone.get(open?.id)?.length;
  $("cut-clear").disabled = cut.strokes.length === 0;
  $("automatic").disabled = $("add-mask").disabled = !open;
  const unsure = !busy && cut.masks[cut.chosen]?.score < UNSURE;
  const hint = $("cut-hint");
  say(hint, asking ? "Cutting…" : unsure ? UNSURE_WORDS : tools.hint());
  hint.classList.toggle("late", asking !== null);
  hint.classList.toggle("unsure", unsure);
  $("add-to-canvas").disabled = busy || adding || cut.masks.length === 0;
  $("photo").setAttribute("aria-busy", String(busy));
  hint.hidden = !open || (cut.strokes.length > 0 && !unsure && !asking);
  $("candidates").hidden = cut.masks.length < 2;
  keyed($("candidate-list"), cut.masks, (mask) => mask.id, (mask) => candidate(mask, cut.masks.indexOf(mask) + 1, () => choose(mask)), (button, mask) => {
    button.setAttribute("aria-pressed", String(cut.masks[cut.chosen] === mask));
  });
  marks();
}

export function choose({ id }) {
  change((now) => (now.cuts[now.photo].chosen = now.cuts[now.photo].masks.findIndex((one) => one.id === id)));
  tellArea();
}

/** Say how much of the photo the cut covers. */
function tellArea() {
  const open = photo();
  const { masks, chosen } = cutOf(open.id);
  const mask = masks[chosen];
  setStatus(mask ? `The cut covers ${Math.round((100 * mask.area) / (open.width * open.height))} % of the photo.` : "Nothing is marked.");
}

/** Draw the overlay anew, without an unfinished stroke. */
function redraw() {
  drawn = "";
  overlay();
}

async function overlay() {
  const open = photo();
  const cut = open && cutOf(open.id);
  const mask = cut?.masks[cut.chosen];
  const target = $("photo-mask");
  if (!mask) {
    drawn = "";
    target.hidden = true;
    return;
  }
  if (drawn === mask.id) return;
  drawn = mask.id;
  try {
    const shape = await shapeOf(mask.id);
    if (drawn !== mask.id) return;
    drawShape(target, shape, $("photo").clientWidth || USUAL_WIDTH_PX, getComputedStyle(document.body).getPropertyValue("--line"));
    target.hidden = false;
  } catch (problem) {
    if (drawn === mask.id) drawn = "";
    target.hidden = true;
    if (problem.code === "not_found") forgetMasks(open.id);
    else sorry(problem);
  }
}

/** Request a photo's masks again, because they were deleted or have expired. */
function forgetMasks(id, options) {
  steps.forget(id);
  const before = cutOf(id).strokes;
  const file = before.findIndex((step) => step.kind === "file");
  const strokes = file < 0 ? before : before.slice(0, file);
  change((now) => (now.cuts[id] = { strokes, masks: [], chosen: 0, pending: true })); // the marks stay, whatever comes
  if (file >= 0) alertOf("The mask is gone from the server.", "It was unused for more than a day. Add its file again.");
  if (id === desk.photo && strokes.length) setStrokes(strokes, options);
}

/** Load a photo again. An expired session shows the sign-in first. */
async function reload(one) {
  const image = $("photo-image");
  try {
    await api.call("GET", api.photoUrl(one.id));
    if (image.dataset.again === one.id) return goneFromServer(one);
    image.dataset.again = one.id;
    image.src = api.photoUrl(one.id);
  } catch (problem) {
    if (problem.code === "not_found") goneFromServer(one);
    else sorry(problem, { action: tryAgain });
  }
}

const tryAgain = { label: "Try again", run: () => (delete $("photo-image").dataset.id, sync()) };

function goneFromServer(one) {
  alertOf(`${one.name} is gone from the server.`, "It was deleted. Remove it from the strip and add it again; its layers stay on the canvas.", { key: one.id, action: tryAgain });
}

function undo() {
  const open = photo();
  const before = open ? cutOf(open.id).strokes : [];
  if (!before.length) return;
  const last = before.at(-1);
  undone.set(open.id, [last, ...(undone.get(open.id) ?? [])]);
  setStrokes(before.slice(0, -1), { chosen: last.from });
}

function redo() {
  const [next, ...rest] = undone.get(photo()?.id) ?? [];
  if (!next) return;
  undone.set(desk.photo, rest);
  setStrokes([...cutOf(desk.photo).strokes, next]);
}

/** Replace all steps. */
export function renew(strokes) {
  undone.delete(desk.photo);
  setStrokes(strokes);
}

const add = (step) => renew(stepsWith(step));

const pointAt = (at, turned) => ({ kind: "point", x: Math.floor(at.x), y: Math.floor(at.y), label: turned ? 1 - label : label });

/** The steps with one more on the candidate that is chosen now. A click or box replaces "automatic". */
function stepsWith(step) {
  const { strokes, chosen } = cutOf(desk.photo);
  const anew = strokes.at(-1)?.kind === "auto" && (step.kind === "point" || step.kind === "box");
  return [...(anew ? strokes.slice(0, -1) : strokes), !anew && chosen ? { ...step, from: chosen } : step];
}

/** Fetch the first mask's picture before it is shown. */
const fetchShape = ([first]) => first && shapeOf(first.id).catch(() => {});

/** `chosen` is the candidate to show; without `retry`, masks that are gone mean that the photo is gone. */
async function setStrokes(strokes, { chosen = 0, retry = true, last = null } = {}) {
  const open = photo();
  if (!open) return;
  const before = last ?? cutOf(open.id);
  if (!before.pending && !steps.known(open.id, before.strokes)) steps.learn(open.id, before.strokes, before.masks); // of an earlier visit
  asking?.control.abort();
  asking = null;
  dismiss("cut"); // it was about the mark before
  const known = steps.known(open.id, strokes);
  const mine = known ? null : (asking = steps.request(open.id, strokes)); // sent before the page is updated
  if (strokes.length <= before.strokes.length) drawn = ""; // the overlay may show a stroke that was undone
  change((now) => (now.cuts[open.id] = known ? { strokes, masks: known, chosen } : { ...before, strokes, pending: true }));
  if (known) return tellArea();
  try {
    const masks = await mine.answer;
    fetchShape(masks); // while the page is updated
    if (asking !== mine) return;
    asking = null;
    dismiss("click");
    change((now) => (now.cuts[open.id] = { strokes, masks, chosen }));
    const found = masks.length || strokes.at(-1)?.kind === "find"; // the field says what words did not find
    if (!found) alertOf("Nothing was found there.", "Click on the product itself, or draw a box around it.", { key: "cut" });
    else if (open.id === desk.photo) tellArea();
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (asking === mine) {
      asking = null;
      drawn = "";
      if (problem.code === "not_found" && retry) return forgetMasks(open.id, { chosen, retry: false });
      if (PASSING.has(problem.code)) return askLater(open.id, { chosen, retry, last: before });
      change((now) => (now.cuts[open.id] = before));
    }
    if (problem.code === "not_found") goneFromServer(open);
    else sorry(problem, { key: "cut" });
  }
}

/** Keep a mark that the server did not answer, and send it again until it does. */
function askLater(id, options) {
  controls();
  if (!alerted("click")) alertOf("The studio does not answer.", "Your mark is kept, and is sent again as soon as the studio answers.", { key: "click" });
  const again = () => {
    clearTimeout(timer);
    removeEventListener("online", again);
    const { strokes, pending } = cutOf(id);
    if (pending && !asking && id === desk.photo) setStrokes(strokes, options);
  };
  const timer = setTimeout(again, TRY_AGAIN_MS);
  addEventListener("online", again);
}

/** Draw the strokes and the zoom factor. */
function marks() {
  const open = photo();
  if (!open) return;
  const strokes = cutOf(open.id).strokes.filter(({ kind }) => kind === "point" || kind === "box");
  keyed($("photo-marks"), strokes, (stroke) => JSON.stringify(stroke), (stroke) => {
    if (stroke.kind === "box") {
      const box = h("span", { className: "mark-box" });
      pointing.placeBox(box, stroke.box, open);
      return box;
    }
    const dot = h("span", { className: stroke.label ? "mark product" : "mark background" });
    Object.assign(dot.style, { left: `${(100 * (stroke.x + 0.5)) / open.width}%`, top: `${(100 * (stroke.y + 0.5)) / open.height}%` });
    return dot;
  });
  say($("zoom-fit"), zoom ? `${Math.round(zoom.scale * devicePixelRatio * 100)} %` : "");
}

async function addToCanvas() {
  const open = photo();
  const cut = cutOf(open.id);
  const mask = cut.masks[cut.chosen];
  adding = true;
  controls();
  try {
    const landing = loaded("landing");
    const { bitmap, width, height } = await api.bitmap(api.cutoutUrl(mask.id), 64);
    bitmap.close();
    placeLayer({ open, cut, mask, size: { width, height }, landed: (await landing).landed });
  } catch (problem) {
    if (problem.code === "not_found") forgetMasks(open.id);
    else sorry(problem);
  } finally {
    adding = false;
    controls();
  }
}

function placeLayer({ open, cut, mask, size, landed }) {
  const { points, boxes } = steps.promptsOf(cut.strokes);
  change(
    (now) => {
      const layer = {
        key: randomId(),
        mask_id: mask.id,
        photo_id: open.id,
        name: open.name.replace(/\.[a-z0-9]+$/i, ""),
        photo: { name: open.name, width: open.width, height: open.height },
        bbox: mask.cutout_bbox,
        cutout: size,
        points,
        boxes,
        candidate: cut.chosen,
        steps: cut.strokes,
        source: mask.source,
        rotation_deg: 0,
        flip: false,
      };
      now.layers = landed(now.layers, layer, now.canvas);
      now.selected = layer.key;
    },
    { layout: true },
  );
  const count = desk.layers.length;
  setStatus(`${open.name} is on the canvas${count > 1 ? ` (${count} layers)` : ""}. Continue under Place, or cut another one.`);
}
