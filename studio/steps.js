// From a photo's steps (clicks, boxes, brush strokes, mask files) to its masks. Each answer is kept, so that undo is
// instant. A step builds on the candidate that was chosen before it: `from` is that candidate's place.

import * as api from "./api.js";
import { loaded } from "./widgets.js";

const answers = new Map(); // photo + steps -> masks
let early = null; // the request that a press began: {key, control, answer}

const keyOf = (photo, steps) => photo + JSON.stringify(steps);

/** The masks for these steps if they are known; none for no steps. */
export const known = (photo, steps) => (steps.length ? answers.get(keyOf(photo, steps)) : []);

export const learn = (photo, steps, masks) => steps.length && answers.set(keyOf(photo, steps), masks);

/** Forget a photo's masks, because the server has deleted them. */
export function forget(photo) {
  for (const key of [...answers.keys()]) if (key.startsWith(photo)) answers.delete(key);
}

/** The steps as the API's prompts. Words used up what was marked before them. */
export function promptsOf(all) {
  const steps = all.slice(all.findLastIndex(({ text }, at) => text && all[at + 1]) + 1);
  const points = steps.filter(({ kind }) => kind === "point").map(({ x, y, label }) => ({ x, y, label }));
  return { points, boxes: steps.filter(({ kind }) => kind === "box").map(({ box }) => box) };
}

/** The request for steps, `{control, answer}`: `control` aborts it. It takes over what a press began. */
export function request(photo, steps) {
  const begun = early?.key === keyOf(photo, steps) ? early : null;
  if (!begun) return begin(photo, steps);
  early = null;
  return begun;
}

/** Ask when the button goes down, a tenth of a second before it comes up and is a click. Returns the masks, or null. */
export function press(photo, steps) {
  forgo();
  if (known(photo, steps)) return null;
  early = { key: keyOf(photo, steps), ...begin(photo, steps) };
  return early.answer;
}

/** Abort what a press began, because it is no click. */
export function forgo() {
  early?.control.abort();
  early = null;
}

function begin(photo, steps) {
  const control = new AbortController();
  return { control, answer: ask(photo, steps, control.signal) };
}

/** The masks for steps, best first, from the server. Throws Problem, or the AbortError of `signal`. */
export async function ask(photo, steps, signal) {
  const ready = known(photo, steps);
  if (ready) return ready;
  const { kind, mask, text } = steps.at(-1);
  let first = steps.length - 1; // the first of the strokes that go together
  while (kind === "paint" && first && steps[first - 1].kind === "paint" && !known(photo, steps.slice(0, first))) first -= 1;
  const base = mask || text || kind === "auto" ? null : await baseOf(photo, steps, first, signal);
  const body = kind === "paint" ? { strokes: steps.slice(first).map(({ mode, radius_px, points }) => ({ mode, radius_px, points })) } : promptsOf(steps);
  const masks = mask ? [mask] : text ? await (await loaded("find")).find(photo, { ...body, text }, signal) : await api.masks(photo, base ? { ...body, base_mask_id: base.id } : body, signal);
  learn(photo, steps, masks);
  return masks;
}

async function baseOf(photo, steps, first, signal) {
  const masks = first ? await ask(photo, steps.slice(0, first), signal) : [];
  return masks[steps[first].from ?? 0] ?? null;
}
