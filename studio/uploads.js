// Files that become photos: uploaded one by one, and each refused one is named with its reason.

import * as api from "./api.js";
import { change, desk } from "./store.js";
import { $, alertOf, dismiss, h, say } from "./widgets.js";
import { noteWords, plain, plural } from "./words.js";

const MAX_BYTES = 96 * 2 ** 20;
const PASSING = new Set(["offline", "not_ready", "busy"]); // the same file may be taken later
const KEY = "uploads"; // of the alert

let waiting = []; // files that are not uploaded yet
let running = false;
let sending = null; // the AbortController of the file under way
let opened = false; // whether a photo of this batch was opened: the first one is, and the others join the strip
const refused = new Map(); // file -> {title, remedy, passing}
let on;

/** `listeners`: changed() when the number of files under way changes; status(text). */
export function open(listeners) {
  on = listeners;
  for (const button of document.querySelectorAll("[data-cancels-upload]")) button.addEventListener("click", cancel);
}

/** Drop the file that is being sent and those that wait. */
function cancel() {
  waiting = [];
  sending?.abort();
}

/** Show how much of a file is sent, as a share of 1; all of it is sent before the server opens it. */
function showProgress(name, share) {
  const percent = Math.round(100 * share);
  for (const bar of document.querySelectorAll(".sending")) bar.value = percent;
  say($("strip-percent"), share < 1 ? `${percent} %` : "…");
  say($("cut-sending"), share < 1 ? `Sending ${name}: ${percent} %` : `Opening ${name}…`);
}

/** How many files are still to come. */
export const coming = () => waiting.length + Number(running);

/** Upload files. Those that are refused are listed, and the others go on. */
export async function addFiles(files) {
  for (const file of files) refused.delete(file);
  waiting.push(...files);
  if (running) return on.changed();
  running = true;
  opened = false;
  let added = 0;
  const total = () => added + waiting.length + refused.size;
  while (waiting.length) {
    const file = waiting.shift();
    on.changed();
    if (total() > 1) on.status(`Adding photo ${added + refused.size + 1} of ${total() + 1}.`);
    const progress = (share) => showProgress(file.name || "the photo", share);
    progress(0);
    sending = new AbortController();
    try {
      keep(file, await api.upload(file, { project: desk.project?.id, signal: sending.signal, progress }));
      refused.delete(file);
      added += 1;
    } catch (problem) {
      if (problem.name === "AbortError") {
        on.status("The upload was cancelled.");
        continue;
      }
      if (!problem.code) throw problem;
      refused.set(file, reasonOf(file, problem));
    }
    showRefused(added);
  }
  running = false;
  sending = null;
  if (added > 1) on.status(`${added} photos were added.`);
  on.changed();
}

function keep(file, answer) {
  const name = file.name || "Pasted photo";
  change((now) => {
    let one = now.photos.find((other) => other.id === answer.id);
    if (!one) now.photos.push((one = { id: answer.id, name, width: answer.width, height: answer.height }));
    one.notes = noteWords(answer);
    const cut = answer.notes?.some(({ code }) => code === "alpha_kept"); // its own transparency comes first
    if (cut && !now.cuts[answer.id]?.strokes.length) now.cuts[answer.id] = { strokes: [{ kind: "auto" }], masks: [], chosen: 0, pending: true };
    if (!opened) now.photo = answer.id;
  });
  if (!opened) on.status(`${name} is open. Click the product.`);
  opened = true;
}

function reasonOf(file, problem) {
  const tooLarge = problem.code === "offline" && file.size > MAX_BYTES; // servers close the connection on such a body
  return { ...plain(tooLarge ? { ...problem, code: "body_too_large" } : problem), passing: !tooLarge && PASSING.has(problem.code) };
}

const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);

/** One alert for all refused files: the file and its reason, or a list of them. */
function showRefused(added) {
  if (!refused.size) return dismiss(KEY);
  const again = [...refused].filter(([, { passing }]) => passing).map(([file]) => file);
  const action = again.length ? { label: again.length === 1 ? "Try again" : `Try ${again.length} again`, run: () => addFiles(again) } : null;
  const named = (file) => file.name || "The pasted picture";
  const options = { key: KEY, action, closed: () => refused.clear() };
  if (refused.size === 1) {
    const [[file, { title, remedy }]] = refused;
    return alertOf(`${named(file)}: ${lower(title)}`, remedy, options);
  }
  const rows = [...refused].map(([file, { title, remedy }]) => h("li", {}, h("strong", {}, `${named(file)}:`), ` ${lower(title)} ${remedy}`));
  const title = `${plural(refused.size, "file")} could not be added${added ? `; ${plural(added, "photo")} could` : ""}.`;
  alertOf(title, h("ul", { className: "refused", tabIndex: 0, "aria-label": "Files that could not be added" }, ...rows), options);
}
