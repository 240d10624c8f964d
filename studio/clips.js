// The dialog that makes a clip of a finished picture: a camera that moves before it.

import * as api from "./api.js";
import { ended } from "./jobs.js";
import { $, h, openDialog, say } from "./widgets.js";
import { plain } from "./words.js";

const MOVES = {
  push_in: ["Push in", "The camera goes slowly towards the product."],
  orbit: ["Orbit", "The camera sways around the product and back. It repeats without a seam."],
  pan: ["Pan", "The camera glides past the product."],
};
const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const still = matchMedia("(prefers-reduced-motion: reduce)");

let image = null; // the picture that the dialog shows
let name = ""; // of the file to save
let job = null; // {id} of the clip that is being made
let clip = null; // what was made last

/** Open the dialog for a picture. `fileName(extension)` names its file. */
export function film(picture, fileName) {
  if (!$("clip-dialog")) document.body.append(dialog());
  name = fileName;
  if (picture.id !== image?.id) [image, clip] = [picture, null];
  $("clip-problem").textContent = "";
  show();
  openDialog($("clip-dialog"));
}

function dialog() {
  const field = (id, title, input) => h("div", { className: "field" }, h("label", { className: "label", htmlFor: id }, title), input);
  const moves = h("select", { id: "clip-move", "aria-describedby": "clip-words", onchange: show }, ...Object.entries(MOVES).map(([value, [title]]) => h("option", { value }, title)));
  const seconds = h("select", { id: "clip-seconds" }, ...[1, 2, 3, 4, 6, 8].map((value) => h("option", { value: String(value), selected: value === 4 }, value === 1 ? "1 second" : `${value} seconds`)));
  const format = h("select", { id: "clip-format" }, h("option", { value: "webp" }, "WebP"), h("option", { value: "mp4" }, "MP4"));
  const form = h(
    "form",
    { id: "clip-form", noValidate: true, onsubmit: (event) => (event.preventDefault(), make()) },
    h("h2", { id: "clip-title" }, "Make a clip"),
    h("div", { className: "clip-room" }, h("img", { id: "clip-shown", alt: "" })),
    h("div", { className: "clip-fields" }, field("clip-move", "Move", moves), field("clip-seconds", "Length", seconds), field("clip-format", "File", format)),
    h("p", { id: "clip-words", className: "quiet" }),
    h("div", { id: "clip-bar", className: "bar", role: "progressbar", "aria-label": "Frames made", hidden: true }, h("div", {})),
    h("p", { id: "clip-state", className: "quiet", role: "status" }),
    h("p", { id: "clip-problem", className: "problem", role: "alert" }),
    h(
      "div",
      { className: "row end" },
      h("button", { id: "clip-play", className: "ghost", onclick: play }, "Play"),
      h("button", { id: "clip-cancel", onclick: cancel }, "Cancel"),
      h("button", { id: "clip-save", onclick: save }, "Download"),
      h("button", { "data-close": true }, "Close"),
      h("button", { id: "clip-make", className: "primary", type: "submit" }, "Make clip"),
    ),
  );
  form.querySelector("#clip-make").type = "submit"; // `h` makes plain buttons
  return h("dialog", { id: "clip-dialog", className: "sheet", "aria-labelledby": "clip-title" }, form);
}

function show() {
  const made = clip?.image_id === image.id;
  const plays = made && clip.format === "webp";
  say($("clip-words"), `${MOVES[$("clip-move").value][1]} Only the camera moves: the product stays as it is, and nothing is painted anew.`);
  $("clip-bar").hidden = !job;
  $("clip-make").disabled = Boolean(job);
  $("clip-make").textContent = made ? "Make another" : "Make clip";
  $("clip-cancel").hidden = !job;
  $("clip-save").hidden = !made;
  $("clip-play").hidden = !plays;
  if (!plays || still.matches) picture();
  else play();
  if (!job) say($("clip-state"), made ? `${clip.width} × ${clip.height} px, ${clip.seconds} s, ${size(clip.bytes)}.${plays ? "" : " An MP4 is not shown here; download it."}` : "");
}

function picture() {
  $("clip-shown").src = image.url;
  $("clip-shown").alt = `Picture ${image.number}`;
}

/** Show the clip from its beginning. */
function play() {
  $("clip-shown").src = `${clip.url}#${Date.now()}`; // another address begins anew; the bytes come from the cache
  $("clip-shown").alt = `Clip of picture ${image.number}`;
}

async function make() {
  $("clip-problem").textContent = "";
  const wanted = { move: $("clip-move").value, seconds: Number($("clip-seconds").value), format: $("clip-format").value };
  try {
    const { id } = await api.film(image.id, wanted);
    job = { id };
    progress(0, 1);
    say($("clip-state"), "Waiting for its turn…");
    ended(id, frames).then(finish);
    show();
  } catch (problem) {
    trouble(problem);
  }
}

function frames({ step, steps }) {
  progress(step, steps || 1);
  say($("clip-state"), `${step} of ${steps} frames`);
}

function progress(step, steps) {
  $("clip-bar").firstChild.style.transform = `scaleX(${step / steps})`;
  $("clip-bar").setAttribute("aria-valuenow", String(Math.round((100 * step) / steps)));
}

function finish(work) {
  job = null;
  if (work.clip) clip = work.clip;
  show();
  if (work.error) trouble(work.error);
}

async function cancel() {
  const id = job?.id;
  try {
    if (id) await api.cancel(id);
  } catch (problem) {
    if (problem.code !== "already_finished") trouble(problem);
  }
}

async function save() {
  try {
    const blob = await (await api.call("GET", clip.url)).blob();
    const url = URL.createObjectURL(blob);
    const link = h("a", { href: url, download: name(clip.format) });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch (problem) {
    trouble(problem);
  }
}

function trouble(problem) {
  const { title, remedy } = plain(problem);
  $("clip-problem").textContent = `${title} ${remedy}`;
}
