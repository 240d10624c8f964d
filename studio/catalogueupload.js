// The photos of a draft, sent a few at once. It goes on while other views are open, and again with the same folder.

import * as calls from "./cataloguecalls.js";
import { alertOf } from "./widgets.js";
import { plain } from "./words.js";

const AT_ONCE = 3;
const watchers = new Set();
const uploads = new Map(); // catalogue id -> {total, sent, refused: [{path, detail}], lost: [path], started, done}

export const progressOf = (id) => uploads.get(id);

/** `changed(id)` is called when an upload goes on; returns what ends it. */
export function watch(changed) {
  watchers.add(changed);
  return () => watchers.delete(changed);
}

/** Send the photos of `files` (path -> File) that the draft misses; `start` it when nothing is missing. Returns whether it runs. */
export async function send(draft, files, { start = false } = {}) {
  const running = { total: 0, sent: 0, refused: [], lost: [], done: false };
  uploads.set(draft.id, running);
  const told = () => watchers.forEach((changed) => changed(draft.id));
  try {
    for (let before = -1; ; ) {
      const now = await calls.get(draft.id);
      const missing = (now.missing_photos ?? []).map(({ path }) => path).filter((path) => !running.refused.some((one) => one.path === path));
      running.lost = missing.filter((path) => !files.has(path.normalize("NFC")));
      const waiting = missing.filter((path) => files.has(path.normalize("NFC")));
      if (!waiting.length || running.sent + running.refused.length === before) break;
      before = running.sent + running.refused.length;
      running.total = before + (now.missing_photos_total ?? waiting.length) - running.lost.length;
      told();
      await Promise.all(Array.from({ length: AT_ONCE }, () => work(draft.id, waiting, files, running, told)));
    }
    running.started = start && !running.lost.length;
    if (running.started) await calls.change(await calls.get(draft.id), "start");
  } catch (problem) {
    running.started = false;
    if (!problem.code) throw problem;
    alertOf("The upload stopped.", `${plain(problem).title} What was sent is kept.`, { key: "upload", action: { label: "Go on", run: () => send(draft, files, { start }) } });
  }
  running.done = true;
  told();
  return running.started;
}

async function work(id, waiting, files, running, told) {
  while (waiting.length) {
    const path = waiting.shift();
    try {
      await calls.putPhoto(id, path, files.get(path.normalize("NFC")));
      running.sent += 1;
    } catch (problem) {
      if (!(problem.status === 422 || problem.status === 415 || problem.status === 413)) throw problem;
      running.refused.push({ path, detail: problem.detail }); // its rows will say so, and the others go on
    }
    told();
  }
}
