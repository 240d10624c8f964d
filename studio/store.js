// The user's work, stored in this browser: the desk (photos, cuts, layout, brief) and the shots. All tabs share both.
//
// The desk is one document, written soon after each change; a tab loads what another tab writes. Each shot has its own
// entry, so that two tabs do not overwrite each other's shots.

import { History } from "./history.js";

const DESK = "packshot.desk.1";
const SHOT = "packshot.shot.1.";
const KEPT_SHOTS = 300;
const WRITE_AFTER_MS = 120;

export const randomId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
/** At most six digits, so that it is easy to say and to write down. */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;

function freshDesk() {
  return {
    project: null, // {id, name} of the project that new photos and shots join
    photos: [], // {id, name, width, height, notes}
    photo: null, // the id of the open photo
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
      painted: null, // the seed of the last Generate
      steps: null,
      guidance_scale: null,
      control_scale: null,
      sampler: null, // the engine's own
      conditions: [],
      shadow: "contact", // or an object, as the API takes it
      reflection: null,
      relight: null,
      engine: null,
    },
  };
}

const unwritten = new Map(); // key -> what the browser did not store; it is tried again with the next change
let writing = 0;
let onFull = () => {};
const watchers = new Set();
const entries = new Map();

export let desk = freshDesk();

function read(key) {
  let text = null;
  try {
    text = localStorage.getItem(key);
    return JSON.parse(text);
  } catch {
    if (text) store(`unreadable.${key}`, text); // of another version, or damaged: it is put aside, not overwritten
    return null;
  }
}

function store(key, text) {
  try {
    localStorage.setItem(key, text);
    return true;
  } catch {
    return false; // full or disabled
  }
}

function write(key, value) {
  const before = unwritten.size;
  unwritten.set(key, value);
  for (const [late, what] of [...unwritten]) if (store(late, JSON.stringify(what))) unwritten.delete(late);
  if (unwritten.size || before) onFull(unwritten.size > 0);
}

/** Whether something is in this page only, because the browser does not store it. */
export const unstored = () => unwritten.size > 0 || writing > 0;

/** Take the older half of the ended shots off this browser's list, and store what waits. Returns how many. */
export function makeRoom() {
  const ended = shots().filter((entry) => !isLive(entry));
  const old = ended.slice(Math.floor(ended.length / 2));
  for (const { key } of old) forget(key, true);
  flush(true);
  notify("shots");
  return old.length;
}

function loadDesk(found) {
  const fresh = freshDesk();
  if (found && Array.isArray(found.layers)) desk = { ...fresh, ...found, brief: { ...fresh.brief, ...found.brief } };
}

/** Read the stored state and follow other tabs. `full(is)` is called when the browser stores nothing more, or does again. */
export function open(full) {
  onFull = full;
  readAll();
  addEventListener("storage", ({ key, newValue }) => {
    if (key === null) return;
    if (key === DESK && newValue) loadDesk(read(DESK));
    else if (key.startsWith(SHOT) && newValue) loadEntry(read(key));
    else if (key.startsWith(SHOT)) entries.delete(key.slice(SHOT.length));
    else return;
    notify(key === DESK ? "desk" : "shots");
  });
  addEventListener("pagehide", flush);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    readAll();
    notify("desk");
    notify("shots");
  });
}

function readAll() {
  loadDesk(read(DESK));
  for (const key of Object.keys(globalThis.localStorage ?? {})) {
    if (key.startsWith(SHOT)) loadEntry(read(key));
  }
}

function loadEntry(found) {
  if (found?.request && Array.isArray(found.images)) entries.set(found.key, found);
}

/** Call `watcher(what)` after every change; `what` is "desk" or "shots". */
export function watch(watcher) {
  watchers.add(watcher);
}

function notify(what) {
  for (const watcher of watchers) watcher(what);
}

function flush(always = false) {
  clearTimeout(writing);
  if (writing || always === true) write(DESK, desk);
  writing = 0;
}

/**
 * Change the desk with `how(desk)`. With `layout` or `brief`, the change can be undone under Place or Render; a string
 * (a field's name) makes quick changes of one field one step.
 */
export function change(how, { layout = false, brief = false } = {}) {
  if (layout) layoutHistory.remember(layout === true ? null : layout);
  if (brief) briefHistory.remember(brief === true ? null : brief);
  how(desk);
  writing ||= setTimeout(flush, WRITE_AFTER_MS);
  notify("desk");
}

const deskOf = (project) => `${DESK}.of.${project ?? ""}`;

/** Put the desk aside and take that of another project. Returns whether this browser had one. */
export function openDesk(project) {
  flush(true);
  write(deskOf(desk.project?.id), desk);
  const found = read(deskOf(project?.id));
  const fresh = freshDesk();
  desk = { ...fresh, ...found, brief: { ...fresh.brief, ...found?.brief }, project };
  for (const steps of [layoutHistory, briefHistory]) steps.clear();
  flush(true);
  for (const what of ["desk", "shots"]) notify(what);
  return Boolean(found);
}

/** Forget the desk of a project that was deleted. */
export const forgetDesk = (project) => globalThis.localStorage?.removeItem(deskOf(project));

/** Whether an entry belongs to the open project; without one, all do. */
export const inProject = ({ request }) => !desk.project || request.project_id === desk.project.id;

/** The undo steps of Place. */
export const layoutHistory = new History(
  () => structuredClone({ canvas: desk.canvas, layers: desk.layers, background: desk.background }),
  (before) => change((now) => {
    Object.assign(now, before);
    if (!now.layers.some((layer) => layer.key === now.selected)) now.selected = now.layers.at(-1)?.key ?? null;
  }),
);

/** The undo steps of Render. */
export const briefHistory = new History(
  () => structuredClone(desk.brief),
  (before) => change((now) => (now.brief = before)),
);

/** The shots of this browser, newest first. */
export function shots() {
  return [...entries.values()].sort((a, b) => b.created_at - a.created_at);
}

export const entry = (key) => entries.get(key);

/** The present time for a new entry: later than that of every other one, even when the clock was set back. */
export const nextTime = () => Math.max(Date.now(), 1 + Math.max(0, ...[...entries.values()].map((entry) => entry.created_at)));

/** Store a new or changed entry. With `durable` false it stays in memory, such as a shot's progress. */
export function keep(entry, durable = true) {
  entries.set(entry.key, entry);
  if (!durable) return notify("shots");
  write(SHOT + entry.key, entry);
  const old = shots().filter((shot) => !isLive(shot)).slice(KEPT_SHOTS);
  for (const shot of old) forget(shot.key, true);
  notify("shots");
}

export function forget(key, quietly = false) {
  entries.delete(key);
  unwritten.delete(SHOT + key);
  globalThis.localStorage?.removeItem(SHOT + key);
  if (!quietly) notify("shots");
}

export const isLive = (entry) => ["sending", "queued", "running"].includes(entry.status);

/** The number of the next finished picture. `Result 1` is this browser's first. */
export function nextNumber() {
  return 1 + Math.max(0, ...[...entries.values()].flatMap((shot) => shot.images.map((image) => image.number)));
}

/** Every finished picture of the open project, newest first: {image, entry}. */
export function results() {
  return shots()
    .filter(inProject)
    .flatMap((shot) => shot.images.map((image) => ({ image, entry: shot })))
    .sort((a, b) => b.image.number - a.image.number);
}
