// Work that the server does for a dialog, such as a touch-up or a clip: watched on a stream of its own until it has ended.

import * as api from "./api.js";

const ENDINGS = ["done", "failed", "cancelled"];
const AGAIN_MS = 2000; // between two questions when the stream was refused, as in a restart

/** The work `id` when it has ended, or {status: "failed", images: [], error} when it is gone. `onStep({step, steps})` hears of its progress. */
export function ended(id, onStep) {
  return new Promise((resolve) => {
    const stream = new EventSource(api.eventsUrl([id]));
    const look = async () => {
      stream.close();
      const work = await api.shot(id).catch((problem) => (problem.code === "not_found" ? { status: "failed", images: [], error: problem } : null));
      if (ENDINGS.includes(work?.status)) resolve(work);
      else setTimeout(look, AGAIN_MS);
    };
    stream.addEventListener("progress", ({ data }) => onStep(JSON.parse(data)));
    for (const name of ENDINGS) stream.addEventListener(name, look);
    stream.onerror = () => stream.readyState === EventSource.CLOSED && setTimeout(look, AGAIN_MS);
  });
}
