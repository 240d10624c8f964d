// Problems in plain words: what happened and what to do, by the API's code. Other codes show the server's sentence.

const WORDS = {
  photo_format: ["This is not a photo that can be opened here.", "Export it as JPEG, PNG or WebP and add it again."],
  photo_type_mismatch: ["The file's content does not match its name.", "Export the photo again as JPEG, PNG or WebP and add that."],
  photo_unreadable: ["This photo is damaged or incomplete.", "Copy it from the camera again, or export it again."],
  photo_empty: ["This file is empty.", "Copy it from the camera again."],
  photo_animated: ["This picture is animated.", "Save one frame of it as PNG and add that."],
  photo_too_small: ["This photo is too small to cut.", "Add it at its full size."],
  photo_too_many_pixels: ["This photo has more pixels than this server accepts.", "Save it smaller (6000 px on the longer side is plenty) and add that."],
  photo_timeout: ["This photo took too long to open.", "Save it again as JPEG and add that."],
  body_too_large: ["This file is larger than this server accepts.", "Save it as JPEG below 32 MB and add that."],
  mask_format: ["This mask is not a PNG.", "Export the mask as PNG: white is the product."],
  mask_unreadable: ["This mask cannot be read.", "Export it as a grey PNG, or as a PNG with transparency."],
  mask_size: ["This mask has another size than the photo.", "Export it at the photo's size."],
  mask_inverted: ["This mask seems to be inverted.", "Make the product white and the background black."],
  mask_empty: ["Nothing was found there.", "Click on the product itself, or draw a box around it."],
  mask_too_small: ["That part is too small to place.", "Click on the whole product, or draw a box around it."],
  queue_full: ["Your queue is full.", "Wait until some pictures are done, or cancel some, then press Generate again."],
  busy: ["The studio is busy.", "Try again in a moment."],
  not_ready: ["The studio is still starting.", "It takes a moment; this page retries automatically."],
  storage_full: ["The studio's disk is full.", "Tell the operator. Your work is not lost."],
  offline: ["The studio does not answer.", "Check that it runs and that you are online. Your work is kept in this browser."],
  engine_failed: ["The engine failed on this shot.", "Press Generate again; another seed often helps."],
  engine_crash: ["The engine crashed twice on this shot.", "Try a smaller canvas or fewer pictures."],
  engine_out_of_memory: ["The engine ran out of memory.", "Try a smaller canvas or fewer pictures."],
  engine_nan: ["The engine produced no usable picture.", "Lower Guidance or Control scale and try again."],
  timeout: ["This shot took too long and was stopped.", "Try fewer pictures or steps."],
  internal: ["An error occurred on the server.", "Try again. If it persists, send this to the operator:"],
  already_finished: ["This shot has already ended.", "There is nothing to cancel."],
};

const KEEPS_DETAIL = new Set(["internal", "preset_unmet", "photo_too_many_pixels", "photo_too_small", "mask_size"]);

/** {title, remedy} of a problem. */
export function plain(problem) {
  const [title, remedy] = WORDS[problem.code] ?? ["That did not work.", ""];
  if (!WORDS[problem.code]) return { title, remedy: problem.detail };
  return { title, remedy: KEEPS_DETAIL.has(problem.code) ? `${remedy} ${problem.detail}` : remedy };
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A shot's title: its prompt, or its background when nothing is painted. */
export function titleOf({ background, prompt }) {
  if (background !== "generate") return background.startsWith("#") ? `On ${background}` : `On a ${background} background`;
  return prompt || "The engine's own plain scene";
}

/** "3 minutes ago", from milliseconds since 1970. */
export function ago(time, now = Date.now()) {
  const minutes = Math.round((now - time) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${plural(minutes, "minute")} ago`;
  if (minutes < 24 * 60) return `${plural(Math.round(minutes / 60), "hour")} ago`;
  return new Date(time).toLocaleDateString();
}

/** A verdict as sentences, one for each finding that is not ok. */
export function verdictWords(verdict) {
  return verdict.findings.filter((finding) => finding.level !== "ok").map(({ detail }) => detail.charAt(0).toUpperCase() + detail.slice(1));
}
