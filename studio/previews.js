// Small pictures of cutouts (1280 px at most), one a mask, shared by everything that shows a layer.

import * as api from "./api.js";

const LONGEST_PX = 1280;

const previews = new Map(); // mask id -> {bitmap, width, height} | {missing: true} | {waiting: true}
const watchers = new Set();

/** Call `watcher()` whenever a preview has come, or turned out to be missing. */
export const onPreview = (watcher) => watchers.add(watcher);

/** The preview of a mask's cutout, as far as it is known now; the first call fetches it. */
export function previewOf(maskId) {
  if (!previews.has(maskId)) {
    previews.set(maskId, { waiting: true });
    fetchPreview(maskId);
  }
  return previews.get(maskId);
}

/** Ask the server itself whether these cutouts are still there: the browser's cache would not know. */
export const askAgain = (maskIds) => Promise.all([...new Set(maskIds)].map((maskId) => fetchPreview(maskId, "reload")));

async function fetchPreview(maskId, cache) {
  try {
    previews.set(maskId, await api.bitmap(api.cutoutUrl(maskId), LONGEST_PX, { cache }));
  } catch (problem) {
    if (!problem.code) throw problem;
    if (problem.code === "not_found") previews.set(maskId, { missing: true });
    else setTimeout(() => fetchPreview(maskId), 3000); // the line is down: what was made is still there
  }
  for (const watcher of watchers) watcher();
}
