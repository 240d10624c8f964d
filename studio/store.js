// What the person made, kept in this browser: the desk (photos, cuts, layout, brief) and the shots. Tabs share both.
//
// The desk is one document, written soon after each change; another tab's writing is taken over when it comes. Each shot
// has an entry of its own, so that two tabs never write over each other's.

const DESK = "packshot.desk.1";
const SHOT = "packshot.shot.1.";
const KEPT_SHOTS = 300;
const UNDO_DEPTH = 60;
const WRITE_AFTER_MS = 120;

export const randomId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
/** Six digits at most: easy to say and to write down. */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;

function freshDesk() {
  return {
    photos: [], // {id, name, width, height}
    photo: null, // the id of the one on the table
    cuts: {}, // photo id -> {strokes: [{kind, …}], masks, chosen}
    canvas: { width: 1024, height: 1024 },
    layers: [], // {key, mask_id, photo_id, name, bbox, cutout, points, boxes, candidate, x, y, scale, rotation_deg, flip}
    selected: null,
    background: "generate",
    snap: true,
    brief: {
      prompt: "",
      negative_prompt: "",
      images: 2,
      seed: randomSeed(),
      locked: false,
      steps: null,
      guidance_scale: null,
      control_scale: null,
      shadow: "contact",
      engine: null,
    },
  };
}

let kept = true; // whether the browser keeps what is written
let writing = 0;
let onFull = () => {};
const watchers = new Set();
const undos = [];
const entries = new Map();

export let desk = freshDesk();

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null; // no storage here, or somebody else's words under our name
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    if (kept) onFull();
    kept = false;
  }
}

function takeDesk(found) {
  const fresh = freshDesk();
  if (found && Array.isArray(found.layers)) desk = { ...fresh, ...found, brief: { ...fresh.brief, ...found.brief } };
}

/** Read what was kept, and listen to other tabs. `full`: called once when the browser keeps no more. */
export function open(full) {
  onFull = full;
  readAll();
  addEventListener("storage", ({ key, newValue }) => {
    if (key === null) return;
    if (key === DESK && newValue) takeDesk(read(DESK));
    else if (key.startsWith(SHOT) && newValue) takeEntry(read(key));
    else if (key.startsWith(SHOT)) entries.delete(key.slice(SHOT.length));
    else return;
    tell(key === DESK ? "desk" : "shots");
  });
  addEventListener("pagehide", flush);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    readAll();
    tell("desk");
    tell("shots");
  });
}

function readAll() {
  takeDesk(read(DESK));
  for (const key of Object.keys(globalThis.localStorage ?? {})) {
    if (key.startsWith(SHOT)) takeEntry(read(key));
  }
}

function takeEntry(found) {
  if (found?.request && Array.isArray(found.images)) entries.set(found.key, found);
}

/** Call `watcher(what)` after every change; `what`: "desk" or "shots". */
export function watch(watcher) {
  watchers.add(watcher);
}

function tell(what) {
  for (const watcher of watchers) watcher(what);
}

function flush() {
  clearTimeout(writing);
  if (writing) write(DESK, desk);
  writing = 0;
}

/** Change the desk by `how(desk)`. `layout`: the change can be undone in Place. */
export function change(how, { layout = false } = {}) {
  if (layout) remember();
  how(desk);
  writing ||= setTimeout(flush, WRITE_AFTER_MS);
  tell("desk");
}

/** Remember the layout as it is, for `undo`; a drag calls it once, at its start. */
export function remember() {
  undos.push(structuredClone({ canvas: desk.canvas, layers: desk.layers, background: desk.background }));
  if (undos.length > UNDO_DEPTH) undos.shift();
}

export const canUndo = () => undos.length > 0;

export function undo() {
  const before = undos.pop();
  if (before) change((now) => Object.assign(now, before));
}

/** The shots of this browser, newest first. */
export function shots() {
  return [...entries.values()].sort((a, b) => b.created_at - a.created_at);
}

export const entry = (key) => entries.get(key);

/** Keep an entry, new or changed. `durable` false: for now only, such as the step that a shot is at. */
export function keep(entry, durable = true) {
  entries.set(entry.key, entry);
  if (!durable) return tell("shots");
  write(SHOT + entry.key, entry);
  const old = shots().filter((shot) => !isLive(shot)).slice(KEPT_SHOTS);
  for (const shot of old) forget(shot.key, true);
  tell("shots");
}

export function forget(key, quietly = false) {
  entries.delete(key);
  localStorage.removeItem(SHOT + key);
  if (!quietly) tell("shots");
}

export const isLive = (entry) => ["sending", "queued", "running"].includes(entry.status);

/** The number that the next finished picture gets: `Result 1` is this browser's first. */
export function nextNumber() {
  return 1 + Math.max(0, ...[...entries.values()].flatMap((shot) => shot.images.map((image) => image.number)));
}

/** Every finished picture, newest first: {image, entry}. */
export function results() {
  return shots()
    .flatMap((shot) => shot.images.map((image) => ({ image, entry: shot })))
    .sort((a, b) => b.image.number - a.image.number);
}
