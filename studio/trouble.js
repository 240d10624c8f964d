// What can go wrong with the page itself: full storage, a server of another version, an error in the page. The work stays.

import * as api from "./api.js";
import * as store from "./store.js";
import { alertOf, dismiss } from "./widgets.js";
import { plural } from "./words.js";

const RELOAD = { label: "Reload", run: () => location.reload() };

export function open() {
  api.onOtherVersion(() =>
    alertOf("The studio on the server was updated.", "Reload this page to use it. Your work is kept.", { key: "version", action: RELOAD }),
  );
  addEventListener("error", ({ error }) => error && failed());
  addEventListener("unhandledrejection", failed);
  addEventListener("beforeunload", (event) => store.unstored() && full && event.preventDefault()); // the browser asks before it closes
}

let full = false;

/** Called by the store: `is` says whether the browser stores nothing more. */
export function storage(is) {
  if (full && !is) dismiss("storage");
  if (is && !full) tellFull();
  full = is;
}

function tellFull() {
  const ended = store.shots().filter((entry) => !store.isLive(entry)).length;
  const safe = "Your work is in this page only: leave it open.";
  if (ended < 2) return alertOf("This browser stores nothing more.", `${safe} Free some space on this device, or leave the private window; the page tries again with each change.`, { key: "storage" });
  const half = Math.ceil(ended / 2);
  const words = `${safe} Make room takes the ${plural(half, "oldest shot")} off this browser's list; their pictures stay on the server.`;
  alertOf("This browser's storage is full.", words, { key: "storage", action: { label: "Make room", run: makeRoom } });
}

function makeRoom() {
  store.makeRoom();
  if (full) tellFull();
}

function failed() {
  alertOf("This page met an error.", "Your work is kept. Reload the page; if it happens again, tell the operator.", { key: "page", action: RELOAD });
}
