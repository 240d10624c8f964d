// Review's touch-up: what the reviewer marked is painted anew with one button, and the next version is reviewed in its place.

import { call, json } from "./api.js";
import { ended } from "./jobs.js";
import { readerOf, readingLine } from "./readwords.js";
import { $, say } from "./widgets.js";
import { plain } from "./words.js";

let shown = null; // the item whose field it is
let readPrompt = null; // names the words of the prompt that the engine would leave out

/** Show the field for an item. Its prompt is the scene's own until the reviewer writes another one. */
export function show(item) {
  const { marks = [], painting = null, touch = item.shot.request.prompt } = item;
  const painted = item.shot.request.background === "generate";
  $("touch-field").hidden = !painting && !(painted && marks.length);
  if ($("touch-prompt").value !== touch) $("touch-prompt").value = touch;
  $("touch-prompt").disabled = $("touch").disabled = Boolean(painting);
  say($("touch-state"), painting ?? "");
  shown = item;
  if ($("touch-field").hidden) return;
  if (!readPrompt) {
    readPrompt = readingLine($("touch-prompt").parentElement, "touch-words", () => ({ text: $("touch-prompt").value.trim(), ...readerOf(shown.shot.request) }));
    $("touch-prompt").addEventListener("input", readPrompt);
  }
  readPrompt();
}

/** Paint the marks of an item anew. `changed()` is called when it has news. Returns whether a new version took its place. */
export async function repaint(item, changed) {
  const body = { marks: item.marks, prompt: $("touch-prompt").value.trim() };
  Object.assign(item, { painting: "Waiting for its turn…", touch: body.prompt, met: null });
  changed();
  try {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const { id } = await json(call("POST", `${item.image.url}/touchups`, { json: body, headers }));
    const shot = await ended(id, ({ step, steps }) => ((item.painting = `${step} of ${steps} steps`), changed()));
    item.painting = null;
    if (shot.status !== "done") throw shot.error ?? { code: "cancelled", detail: "The touch-up was cancelled." };
    const [image] = shot.images;
    Object.assign(item, { image, shot, state: image.review_state, marks: [], touch: undefined, log: null, known: null });
    return true;
  } catch (problem) {
    if (!problem.code) throw problem;
    const { title, remedy } = plain(problem);
    Object.assign(item, { painting: null, met: `${title} ${remedy}` });
    return false;
  }
}
