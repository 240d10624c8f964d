// Find: words that name the product. What fits has a thin frame on the photo; a click on another frame picks it.

import * as api from "./api.js";
import { choose, cutOf, renew } from "./cut.js";
import { placeBox } from "./pointing.js";
import { desk, watch } from "./store.js";
import { $, h, keyed, say, sheet } from "./widgets.js";
import { noteSentences } from "./words.js";

const MOST_CHARS = 200;
const TYPED_MS = 400; // without a key, after which the words are read

let words; // the field
let told; // what the server says about the words
let frames; // the layer of the frames, over the photo
const notes = new Map(); // photo + words -> what the server said
let typing = null; // the timer after the last key
let reading = 0; // counts what makes an answer about words in the field too late
let warning = ""; // what the server says of the words in the field, before they are looked for

const photo = () => desk.photos.find((one) => one.id === desk.photo) ?? null;

/** Build the field, and follow the desk. */
export async function open() {
  await sheet("find");
  words = h("input", { id: "find-words", type: "search", maxLength: MOST_CHARS, placeholder: "mug", autocomplete: "off", enterKeyHint: "search", oninput: typed });
  told = h("p", { className: "quiet", role: "status", hidden: true });
  frames = h("div", { className: "marks", id: "found-boxes" });
  const label = h("label", { className: "label", htmlFor: words.id }, "Find by words");
  const row = h("div", { className: "find-row" }, words, h("button", { type: "submit" }, "Find"));
  $("candidates").before(h("form", { id: "find", className: "field", onsubmit: search }, label, row, told));
  $("photo-marks").after(frames);
  watch((what) => what === "desk" && sync());
  sync();
}

/** Say which words the server would ignore, once typing pauses. Nothing is looked for. */
function typed() {
  clearTimeout(typing);
  const mine = ++reading;
  typing = setTimeout(async () => {
    const text = words.value.trim();
    const said = text ? await api.readWords(text).catch(() => ({ notes: [] })) : { notes: [] };
    if (mine !== reading) return; // newer words are being read, or these looked for
    warning = noteSentences(said.notes);
    sync();
  }, TYPED_MS);
}

function search(event) {
  event.preventDefault();
  clearTimeout(typing);
  reading += 1;
  warning = "";
  const text = words.value.trim();
  if (!text || !photo()) return;
  const boxes = cutOf(desk.photo).strokes.filter(({ kind }) => kind === "box"); // they say where to look
  renew([...boxes, { kind: "find", text }]);
}

/** The masks of what words name, likeliest first; `found` of each is its box, [x0, y0, x1, y1]. */
export async function find(photoId, body, signal) {
  const { masks, found } = await api.json(api.call("POST", `/v1/photos/${photoId}/masks`, { json: body, signal }));
  notes.set(photoId + body.text, noteSentences(found.notes));
  return masks.map((mask, at) => ({ ...mask, found: found.boxes[at].box }));
}

function sync() {
  const open = photo();
  const cut = open ? cutOf(open.id) : { strokes: [], masks: [], chosen: 0 };
  const asked = cut.strokes.findLast(({ kind }) => kind === "find");
  const text = warning || (asked && !cut.pending && notes.get(open.id + asked.text)) || "";
  say(told, text);
  told.hidden = !text;
  words.disabled = !open;
  keyed(frames, cut.masks.filter(({ found }) => found), ({ id }) => id, (mask) => frameOf(mask, cut, open), (frame, mask) => {
    const isChosen = mask === cut.masks[cut.chosen];
    frame.setAttribute("aria-pressed", String(isChosen));
    frame.disabled = isChosen; // clicks there mend the cut
  });
}

function frameOf(mask, cut, open) {
  const label = `Found ${cut.masks.indexOf(mask) + 1} of ${cut.masks.length}`;
  const frame = h("button", { type: "button", className: "found", title: "Cut this one out instead", "aria-label": label, onclick: () => choose(mask) });
  frame.addEventListener("pointerdown", (event) => event.stopPropagation()); // it picks, and marks nothing
  placeBox(frame, mask.found, open);
  return frame;
}
