// From "Generate" to finished pictures. One event stream follows all accepted shots and survives lost connections.

import * as api from "./api.js";
import { isLive } from "./store.js";
import * as store from "./store.js";

const MOST_ON_STREAM = 100;
const LONGEST_WAIT_S = 10;
const RETRYABLE = new Set(["offline", "not_ready", "busy"]);

let stream = null;
let followed = new Set();
let retry = 0;
let waitS = 1;
let onEnd = () => {};
let onConnection = () => {};

/** `end(entry)` is called when a shot ends, `connection(isUp)` when the server answers or stops answering. */
export function open({ end, connection }) {
  onEnd = end;
  onConnection = connection;
  store.watch((what) => what === "shots" && follow());
  addEventListener("online", refreshAll);
  refreshAll();
}

/** Create a shot. Its entry is stored before the request is sent. Throws Problem when the request is refused. */
export async function generate({ request, desk, source }) {
  const entry = {
    key: store.randomId(),
    id: null,
    status: "sending",
    request,
    desk,
    source,
    position: null,
    step: 0,
    steps: 0,
    preview: 0,
    images: [],
    error: null,
    cancelling: false,
    created_at: store.nextTime(),
    finished_at: null,
  };
  store.keep(entry);
  await send(entry);
  return entry.key;
}

/** Send an entry. `resent`: again, after a lost connection; the entry's idempotency key gives the same shot. */
async function send(entry, resent = false) {
  try {
    const accepted = await api.submit(entry.request, entry.key);
    update(entry.key, { id: accepted.id, status: accepted.status, position: accepted.position });
    connected();
    if (!isLive(accepted)) await refresh(store.entry(entry.key));
  } catch (problem) {
    if (!problem.code) throw problem;
    if (RETRYABLE.has(problem.code)) return retryLater();
    if (resent) return ended(entry, "failed", { error: { code: problem.code, detail: problem.detail } });
    store.forget(entry.key);
    throw problem;
  }
}

function update(key, changes, { durable = true } = {}) {
  const before = store.entry(key);
  if (!before) return;
  store.keep({ ...before, ...changes }, durable);
}

/** Cancel a shot. Throws Problem. */
export async function cancel(entry) {
  if (!entry.id) return store.forget(entry.key);
  update(entry.key, { cancelling: true });
  try {
    await api.cancel(entry.id);
  } catch (problem) {
    update(entry.key, { cancelling: false });
    if (problem.code === "already_finished" || problem.code === "not_found") refreshAll();
    throw problem;
  }
}

/** Open a stream for all live shots, unless the open one already has them. */
function follow() {
  const live = store.shots().filter((entry) => isLive(entry) && entry.id).map((entry) => entry.id);
  if (!live.length) return stop();
  if (stream && live.slice(0, MOST_ON_STREAM).every((id) => followed.has(id))) return;
  stop();
  followed = new Set(live.slice(0, MOST_ON_STREAM).sort());
  stream = new EventSource(api.eventsUrl([...followed]));
  for (const name of ["queued", "progress", "preview", "done", "failed", "cancelled"]) {
    stream.addEventListener(name, (event) => onEvent(name, JSON.parse(event.data)));
  }
  stream.onopen = connected;
  stream.onerror = () => {
    if (!store.shots().some((entry) => isLive(entry) && entry.id)) return stop();
    onConnection(false);
    if (stream?.readyState === EventSource.CLOSED) {
      stop(); // refused: a restart, an expired session, a deleted shot
      retryLater();
    }
  };
}

function stop() {
  stream?.close();
  stream = null;
  followed = new Set();
}

function connected() {
  waitS = 1;
  onConnection(true);
}

function retryLater() {
  onConnection(false);
  clearTimeout(retry);
  retry = setTimeout(refreshAll, waitS * 1000);
  waitS = Math.min(LONGEST_WAIT_S, waitS * 2);
}

/** Refresh every live shot, send those that the server does not have, and follow them. */
async function refreshAll() {
  clearTimeout(retry);
  try {
    for (const entry of store.shots().filter(isLive)) {
      if (entry.id) await refresh(entry);
      else await send(entry, true);
    }
    follow();
  } catch (problem) {
    if (!problem.code) throw problem;
    retryLater();
  }
}

async function refresh(entry) {
  try {
    const now = await api.shot(entry.id);
    connected();
    if (isLive(now)) update(entry.key, { status: now.status, position: now.position, step: now.step, steps: now.steps });
    else ended(entry, now.status, now);
  } catch (problem) {
    if (problem.code !== "not_found") throw problem;
    ended(entry, "failed", { error: { code: "not_found", detail: "The server no longer has this shot." } });
  }
}

function onEvent(name, data) {
  const entry = store.shots().find((shot) => shot.id === data.shot);
  if (!entry || !isLive(entry)) return;
  waitS = 1;
  if (name === "queued") update(entry.key, { status: "queued", position: data.position }, { durable: false });
  else if (name === "progress") {
    update(entry.key, { status: "running", position: 0, step: data.step, steps: data.steps }, { durable: false });
  } else if (name === "preview") update(entry.key, { preview: entry.preview + 1 }, { durable: false });
  else ended(entry, name, data);
}

function ended(entry, status, { images = [], error = null }) {
  const first = store.nextNumber();
  const numbered = images.map((image, index) => ({ ...image, number: first + index, review: null }));
  update(entry.key, { status, images: numbered, error, cancelling: false, finished_at: Date.now() });
  onEnd(store.entry(entry.key));
}

/** A shot's status as a short sentence. */
export function standing(entry) {
  if (entry.cancelling && isLive(entry)) return "Stopping…";
  if (entry.status === "sending") return "Sending…";
  if (entry.status === "queued") {
    if (!entry.position) return "In the queue: next";
    return `In the queue: ${entry.position} before this one`;
  }
  if (entry.status === "running") return entry.steps ? `Painting: step ${entry.step} of ${entry.steps}` : "Painting: starting";
  if (entry.status === "done") return entry.images.length === 1 ? "1 picture is ready" : `${entry.images.length} pictures are ready`;
  return entry.status === "cancelled" ? "Cancelled" : "Failed";
}
