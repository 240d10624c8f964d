// The dialog that paints a part of a finished picture anew, or makes it larger. Its versions stand below it.

import * as api from "./api.js";
import { clamp } from "./geometry.js";
import { ended } from "./jobs.js";
import { Frame, SIDES } from "./outpaint.js";
import { readerOf, readingLine } from "./readwords.js";
import * as store from "./store.js";
import { $, h, openDialog, say } from "./widgets.js";
import { plain } from "./words.js";

const LARGEST = 0.15; // the largest and the first radius, as shares of the picture's longer side
const FIRST = 0.04;
const FACTOR = 1.2; // of the keys [ and ]
const APART = 0.1; // a point nearer to the last one, in radii, is left out
const MOST_POINTS = 2000; // the API's limit for a stroke
const LONGEST_PX = 4096;

let image = null; // the version that the dialog shows
let entry = null; // the shot that it belongs to
let strokes = []; // {mode, radius_px, points} in pixels of the picture
let undone = []; // strokes that were taken back
let drawing = null;
let at = null; // the brush's place, in pixels of the picture
let radius = 0;
let frame = null; // the canvas around the picture, with its handles
let job = null; // {id, key, of} of the touch-up that runs, of the version `of`; without `id` while it is sent
let readPrompt = () => {}; // names the words of the prompt that the engine would leave out

/** Open the dialog for a picture and its shot's entry. */
export function touchUp(picture, shot) {
  if (!$("touch-dialog")) {
    document.body.append(dialog());
    listen();
    readPrompt = readingLine($("touch-prompt").closest(".touch-fields"), "touch-prompt-words", () => ({ text: $("touch-prompt").value.trim(), ...readerOf(entry.request) }));
  }
  if (picture.id !== image?.id) take(picture, shot);
  openDialog($("touch-dialog"));
  show();
  versions();
}

function take(picture, shot) {
  [image, entry, strokes, undone, at] = [picture, shot, [], [], null];
  radius = FIRST * longer();
  $("touch-shown").src = image.url;
  $("touch-shown").alt = `Picture ${image.number ?? ""}, version ${image.version ?? 1}`;
  for (const side of SIDES) $(`touch-${side}`).value = "0";
  say($("touch-problem"), "");
  readPrompt();
}

const longer = () => Math.max(image.width, image.height);

function dialog() {
  const field = (id, title, input) => h("div", { className: "field" }, h("label", { className: "label", htmlFor: id }, title), input);
  const margin = (side) => field(`touch-${side}`, side[0].toUpperCase() + side.slice(1), h("input", { id: `touch-${side}`, type: "number", min: 0, max: LONGEST_PX, step: 1, value: 0, oninput: show }));
  const picture = h("div", { className: "touch-picture" }, h("img", { id: "touch-shown", alt: "", draggable: false, onload: show }), h("canvas", { id: "touch-canvas", tabIndex: 0, role: "application", "aria-label": "Brush: arrow keys move it, Space paints, [ and ] change its size" }), h("span", { id: "touch-ring", className: "ring", "data-mode": "add", hidden: true }));
  frame = new Frame(picture, (side, px) => (($(`touch-${side}`).value = String(px)), show()));
  const form = h(
    "form",
    { id: "touch-form", noValidate: true, onsubmit: (event) => (event.preventDefault(), repaint()) },
    h("h2", { id: "touch-title" }, "Touch up"),
    h("div", { className: "touch-room" }, frame.element),
    h("ol", { id: "touch-versions", className: "touch-versions", "aria-label": "Versions", hidden: true }),
    h(
      "div",
      { className: "row spread" },
      h("label", { className: "label", htmlFor: "touch-size" }, "Brush"),
      h("input", { id: "touch-size", type: "range", min: 0, max: 100, step: 1, oninput: ({ target }) => resize(2 * (LARGEST * longer() / 2) ** (target.value / 100)) }),
      h("button", { id: "touch-undo", className: "small", onclick: undo }, "Undo"),
      h("button", { id: "touch-redo", className: "small", onclick: redo }, "Redo"),
      h("button", { id: "touch-clear", className: "small", onclick: clear }, "Clear"),
    ),
    h(
      "div",
      { className: "touch-fields" },
      field("touch-prompt", "Paint there", h("input", { id: "touch-prompt", type: "text", maxLength: 2000, placeholder: "As in the rest of the scene", oninput: () => readPrompt() })),
      field("touch-strength", "Change", h("select", { id: "touch-strength" }, h("option", { value: "1" }, "All anew"), h("option", { value: "0.7" }, "Much"), h("option", { value: "0.4" }, "A little"))),
      h("label", { className: "check" }, h("input", { id: "touch-product", type: "checkbox" }), " The product too"),
    ),
    h("fieldset", { className: "touch-margins" }, h("legend", { className: "label" }, "Make the picture larger: drag its edges, or type pixels"), ...SIDES.map(margin)),
    h("p", { id: "touch-words", className: "quiet" }),
    h("div", { id: "touch-bar", className: "bar", role: "progressbar", "aria-label": "Steps painted", hidden: true }, h("div", {})),
    h("p", { id: "touch-state", className: "quiet", role: "status" }),
    h("p", { id: "touch-problem", className: "problem", role: "alert" }),
    h("div", { className: "row end touch-end" }, h("button", { id: "touch-cancel", onclick: cancel }, "Cancel"), h("button", { "data-close": true }, "Close"), h("button", { id: "touch-go", className: "primary" }, "Repaint")),
  );
  form.querySelector("#touch-go").type = "submit"; // `h` makes plain buttons
  return h("dialog", { id: "touch-dialog", className: "sheet", "aria-labelledby": "touch-title" }, form);
}

function listen() {
  const canvas = $("touch-canvas");
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    begin(place(event), event.altKey || event.shiftKey);
  });
  canvas.addEventListener("pointermove", (event) => {
    at = place(event);
    if (drawing) extend(event.getCoalescedEvents?.().map(place) ?? [at]);
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => end());
  canvas.addEventListener("pointerleave", () => ((at = null), draw()));
  $("touch-dialog").addEventListener("keydown", onKey);
}

function onKey(event) {
  const typing = event.target.closest("input:not([type=range]):not([type=checkbox]), select");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing) {
    event.preventDefault();
    return event.shiftKey ? redo() : undo();
  }
  const by = { "[": 1 / FACTOR, "]": FACTOR }[event.key];
  if (by && !typing) return event.preventDefault(), resize(radius * by);
  if (event.target !== $("touch-canvas")) return;
  const step = Math.max(1, radius / 2);
  const [x, y] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [];
  at ??= { x: image.width / 2, y: image.height / 2 };
  if (x !== undefined) at = { x: clamp(at.x + x, 0, image.width), y: clamp(at.y + y, 0, image.height) };
  else if (event.key === " ") begin(at, event.altKey || event.shiftKey), end();
  else return;
  event.preventDefault();
  draw();
}

/** Where a pointer is, in pixels of the picture. */
function place({ clientX, clientY }) {
  const box = $("touch-canvas").getBoundingClientRect();
  return { x: ((clientX - box.left) / box.width) * image.width, y: ((clientY - box.top) / box.height) * image.height };
}

function resize(px) {
  radius = clamp(px, 1, LARGEST * longer());
  draw();
}

function begin(point, erases) {
  drawing = { mode: erases ? "erase" : "add", radius_px: tenth(radius), points: [] };
  extend([point]);
}

function extend(points) {
  for (const { x, y } of points) {
    const last = drawing.points.at(-1);
    if (last && Math.hypot(x - last[0], y - last[1]) < Math.max(0.5, APART * radius)) continue;
    if (drawing.points.length < MOST_POINTS) drawing.points.push([tenth(x - 0.5), tenth(y - 0.5)]); // the centres of pixels
  }
  draw();
}

function end() {
  if (drawing?.points.length) [strokes, undone] = [[...strokes, drawing], []];
  drawing = null;
  show();
}

const tenth = (value) => Math.round(10 * value) / 10;

function undo() {
  if (strokes.length) undone.push(strokes.pop());
  show();
}

function redo() {
  if (undone.length) strokes.push(undone.pop());
  show();
}

function clear() {
  [strokes, undone] = [[], []];
  show();
}

function margins() {
  return Object.fromEntries(SIDES.map((side) => [side, Math.max(0, Math.round(Number($(`touch-${side}`).value) || 0))]));
}

function show() {
  const { left, top, right, bottom } = margins();
  const [width, height] = [image.width + left + right, image.height + top + bottom];
  const grows = left + top + right + bottom > 0;
  const [across, down] = [Math.max(0, LONGEST_PX - width), Math.max(0, LONGEST_PX - height)];
  frame.lay(image, { left, top, right, bottom }, { left: left + across, right: right + across, top: top + down, bottom: bottom + down });
  $("touch-strength").disabled = grows;
  $("touch-bar").hidden = $("touch-cancel").hidden = !job?.id;
  $("touch-go").disabled = Boolean(job) || !(strokes.length || grows);
  $("touch-undo").disabled = !strokes.length;
  $("touch-redo").disabled = !undone.length;
  $("touch-clear").disabled = !strokes.length;
  const paint = strokes.length ? "What you marked is painted anew; all else stays." : "Paint over what should change. The product stays as it is.";
  say($("touch-words"), grows ? `The picture grows to ${width} × ${height} px. ${strokes.length ? paint : "Its own pixels stay."}` : paint);
  draw();
}

/** Draw the strokes over the picture, and the ring of the brush. */
function draw() {
  const canvas = $("touch-canvas");
  const { clientWidth, clientHeight } = canvas;
  if (!clientWidth) return;
  const ratio = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
  const context = canvas.getContext("2d");
  const scale = canvas.width / image.width;
  [context.lineCap, context.lineJoin] = ["round", "round"];
  context.strokeStyle = "#d6246e";
  for (const { mode, radius_px, points } of [...strokes, ...(drawing ? [drawing] : [])]) {
    context.globalCompositeOperation = mode === "erase" ? "destination-out" : "source-over";
    context.lineWidth = 2 * radius_px * scale;
    context.beginPath();
    points.forEach(([x, y], index) => context[index ? "lineTo" : "moveTo"]((x + 0.5) * scale, (y + 0.5) * scale));
    if (points.length === 1) context.lineTo((points[0][0] + 0.5) * scale + 0.01, (points[0][1] + 0.5) * scale);
    context.stroke();
  }
  const ring = $("touch-ring");
  ring.hidden = !at;
  if (at) Object.assign(ring.style, { left: `${(100 * at.x) / image.width}%`, top: `${(100 * at.y) / image.height}%`, width: `${(200 * radius) / image.width}%`, height: `${(200 * radius) / image.height}%` });
  const size = $("touch-size");
  size.value = (100 * Math.log(Math.max(1, radius / 2))) / Math.log((LARGEST * longer()) / 2);
  size.setAttribute("aria-valuetext", `${Math.round(2 * radius)} px`);
}

async function repaint() {
  if (job) return;
  say($("touch-problem"), "");
  const canvas = margins();
  const grows = Object.values(canvas).some(Boolean);
  const prompt = $("touch-prompt").value.trim();
  const body = {
    strokes,
    ...(grows ? { canvas } : { strength: Number($("touch-strength").value) }),
    ...(prompt ? { prompt } : {}),
    ...($("touch-product").checked ? { product: true } : {}),
  };
  const key = store.randomId();
  job = { key, of: image.id };
  say($("touch-state"), "Sending…");
  show();
  try {
    const accepted = await send(image.id, body, key);
    keepEntry(key, accepted);
    job.id = accepted.id;
    say($("touch-state"), "Waiting for its turn…");
    progress({ step: 0, steps: 1 });
    ended(accepted.id, progress).then(made);
  } catch (problem) {
    job = null;
    say($("touch-state"), "");
    trouble(problem);
  }
  show();
}

/** Put the touch-up among this browser's shots, with the layout that it has on a larger canvas. */
function keepEntry(key, { id, status, position, request }) {
  const layers = entry.desk.layers.map((layer, index) => ({ ...layer, ...pick(request.layers[index]) }));
  const desk = { ...entry.desk, canvas: request.canvas, layers };
  store.keep({ key, id, status, position, request, desk, source: entry.source, step: 0, steps: 0, preview: 0, images: [], error: null, cancelling: false, created_at: store.nextTime(), finished_at: null });
}

const pick = (layer) => (layer ? { x: layer.x, y: layer.y, scale: layer.scale } : {});

function progress({ step, steps }) {
  if (step) say($("touch-state"), `${step} of ${steps} steps`);
  $("touch-bar").firstChild.style.transform = `scaleX(${step / (steps || 1)})`;
  $("touch-bar").setAttribute("aria-valuenow", String(Math.round((100 * step) / (steps || 1))));
}

function made(shot) {
  const { key, of } = job;
  job = null;
  if (shot.status === "done" && image.id !== of) say($("touch-state"), "The touch-up of the other picture is ready.");
  else if (shot.status === "done") {
    take(shot.images[0], store.entry(key) ?? entry);
    say($("touch-state"), `Version ${image.version} is ready.`);
    versions();
  } else say($("touch-state"), shot.status === "cancelled" ? "Cancelled." : "");
  show();
  if (shot.error) trouble(shot.error);
}

async function versions() {
  const of = image.id;
  try {
    const found = await (await api.call("GET", `/v1/images/${of}/versions`)).json();
    if (image.id !== of) return;
    const item = (one) => {
      const counts = one.id === found.newest;
      const label = `Version ${one.version}${counts ? ", the one that counts" : ": go back to it"}`;
      const button = h("button", { "aria-label": label, "aria-current": counts ? "true" : undefined, onclick: () => restore(one) }, h("img", { src: api.thumbnailUrl(one), alt: "", loading: "lazy" }), h("span", { "aria-hidden": "true" }, String(one.version)));
      return h("li", {}, button);
    };
    $("touch-versions").replaceChildren(...found.versions.map(item));
    $("touch-versions").hidden = found.versions.length < 2;
    const newest = found.versions.find((one) => one.id === found.newest);
    if (newest && newest.id !== image.id) (take(newest, entryOf(newest) ?? entry), show());
  } catch (problem) {
    trouble(problem);
  }
}

const entryOf = ({ id }) => store.shots().find((shot) => shot.images.some((one) => one.id === id));

async function restore(one) {
  try {
    await api.call("POST", `/v1/images/${one.id}/restore`);
    take(one, entryOf(one) ?? entry);
    say($("touch-state"), `Version ${one.version} counts again.`);
    show();
    versions();
  } catch (problem) {
    trouble(problem);
  }
}

async function cancel() {
  try {
    if (job) await api.cancel(job.id);
  } catch (problem) {
    if (problem.code !== "already_finished") trouble(problem);
  }
}

const send = async (id, json, key) => (await api.call("POST", `/v1/images/${id}/touchups`, { json, headers: { "idempotency-key": key } })).json();

function trouble(problem) {
  const { title, remedy } = plain(problem);
  say($("touch-problem"), problem.code === "region_product" ? `${title} Paint beside it, or tick The product too.` : `${title} ${remedy}`);
}
