// Choose: the file of a painted picture for a channel of another shape. The engine paints the sides that are missing.

import { Problem, call, json } from "./api.js";
import { ended } from "./jobs.js";

const ROUNDING = 0.002;

/** Whether a painted picture lacks sides for a preset's shape. */
export const lacksSides = (image, background, preset) => Boolean(preset?.aspect && background === "generate" && Math.abs((image.width * preset.aspect[1]) / (image.height * preset.aspect[0]) - 1) >= ROUNDING);

/** The picture as the file of a preset, with painted sides: {blob, extension, notes}. `onStep({step, steps})` hears of the painting. */
export async function reframed(image, preset, onStep) {
  for (;;) {
    const body = { deliver: [{ preset, reframe: "paint" }] };
    const { deliveries, painting = [] } = await json(call("POST", `${image.url}/deliveries`, { json: body }));
    if (deliveries.length) {
      const [{ url, name, changes }] = deliveries;
      return { blob: await (await call("GET", url)).blob(), extension: name.split(".").pop(), notes: changes.join("; ") };
    }
    const { status, error } = await ended(painting[0].shot_id, onStep);
    if (status !== "done") throw error ? new Problem(error.code, error.detail) : new Problem("cancelled", "The painting of the sides was cancelled.");
  }
}
