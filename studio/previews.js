// Previews of cutouts (at most 1280 px), one per mask, shared by everything that shows a layer.

import * as api from "./api.js";

const LONGEST_PX = 1280;

const previews = new Map(); // mask id -> {bitmap, width, height} | {missing: true} | {waiting: true}
const watchers = new Set();

/** Call `watcher()` when a preview has arrived or is missing. */
export const onPreview = (watcher) => watchers.add(watcher);

/** The present state of a cutout's preview. The first call fetches it. */
export function previewOf(maskId) {
  if (!previews.has(maskId)) {
    previews.set(maskId, { waiting: true });
    fetchPreview(maskId);
  }
  return previews.get(maskId);
}

/** Fetch these cutouts again, past the browser's cache, to see which the server still has. */
export const askAgain = (maskIds) => Promise.all([...new Set(maskIds)].map((maskId) => fetchPreview(maskId, "reload")));

async function fetchPreview(maskId, cache) {
  try {
    previews.set(maskId, await api.bitmap(api.cutoutUrl(maskId), LONGEST_PX, { cache }));
  } catch (problem) {
    if (!problem.code) throw problem;
    if (problem.code === "not_found") previews.set(maskId, { missing: true });
    else setTimeout(() => fetchPreview(maskId), 3000); // the connection is lost; the cutout still exists
  }
  for (const watcher of watchers) watcher();
}
