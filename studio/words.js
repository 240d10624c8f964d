// Problems in plain words: what happened and what to do, by the API's code. Other codes show the server's sentence.

const WORDS = {
  photo_format: ["This is not a photo that can be opened here.", ""],
  photo_unreadable: ["This photo is damaged or incomplete.", "Copy it from the camera again, or export it again."],
  photo_empty: ["This file is empty.", "Copy it from the camera again."],
  photo_animated: ["This file holds a moving picture, or many pages.", "Save one of them as PNG and add that."],
  photo_too_small: ["This photo is too small to cut.", "Add it at its full size."],
  photo_too_many_pixels: ["This photo has more pixels than this server accepts.", "Save it smaller (6000 px on the longer side is plenty) and add that."],
  photo_timeout: ["This photo took too long to open.", "Save it again as JPEG and add that."],
  body_too_large: ["This file is larger than this server accepts.", "Save it as JPEG below 96 MB and add that."],
  mask_format: ["This mask is not a PNG.", "Export the mask as PNG: white is the product."],
  mask_unreadable: ["This mask cannot be read.", "Export it as a grey PNG, or as a PNG with transparency."],
  mask_size: ["This mask has another size than the photo.", "Export it at the photo's size."],
  mask_inverted: ["This mask seems to be inverted.", "Make the product white and the background black."],
  mask_empty: ["Nothing was found there.", "Click on the product itself, or draw a box around it."],
  mask_too_small: ["That part is too small to place.", "Click on the whole product, or draw a box around it."],
  name_taken: ["This name is taken.", "Choose another name."],
  name_invalid: ["This name cannot be used.", "Use 1 to 120 letters, digits and signs."],
  queue_full: ["Your queue is full.", "Wait until some pictures are done, or cancel some, then press Generate again."],
  busy: ["The studio is busy.", "Try again in a moment."],
  video_not_installed: ["This server cannot write MP4.", "Choose WebP, or ask the operator to install ffmpeg."],
  not_filmable: ["This picture cannot become a clip.", "Render it again, with a background and with photos that are still there."],
  region_empty: ["Nothing is marked.", "Mark what should change, or make the picture larger."],
  region_product: ["Only the product is marked, and it stays as it is.", "Mark what is beside it."],
  nothing_painted: ["Nothing was painted in this picture.", "Render it with a painted scene first."],
  canvas_too_large: ["The picture would be too large.", "Use smaller margins: a side may have 4096 px."],
  superseded: ["There is a newer version of this picture.", "Open that one, or go back to this one."],
  not_approved: ["A person must approve this picture first.", "Press Approve, then make the clip."],
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

const KEEPS_DETAIL = new Set(["internal", "preset_unmet", "photo_format", "photo_too_many_pixels", "photo_too_small", "mask_size"]);

/** {title, remedy} of a problem. */
export function plain(problem) {
  const [title, remedy] = WORDS[problem.code] ?? ["That did not work.", ""];
  if (!WORDS[problem.code]) return { title, remedy: sentence(problem.detail) };
  return { title, remedy: KEEPS_DETAIL.has(problem.code) ? `${remedy} ${sentence(problem.detail)}`.trim() : remedy };
}

const sentence = (text) => (text ? text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".") : "");

const NOTES = {
  type_by_bytes: () => "The file is of another type than its name says, and was opened as what it is.",
  end_marker_missing: () => "The file has no proper end, but the picture is complete.",
  first_picture: () => "The file holds several pictures; this is the main one.",
  reduced: ({ width, height }) => `The photo is very large and was opened at ${width}\u00a0×\u00a0${height}\u00a0px.`,
  profile_assumed: () => "Its colour profile could not be used, so colours may differ a little.",
  upright_assumed: () => "Which side is up could not be read. If it lies on its side, turn it and add it again.",
  depth_reduced: () => "It was converted to 8 bits.",
  transparency_ignored: () => "A transparent grey in it was ignored.",
  premultiplied: () => "Its edges were darkened by their transparency, and were corrected.",
  alpha_flattened: () => "Transparent parts are shown white.",
  alpha_kept: () => "The cut that it came with is the first suggestion.",
};

/** What was assumed or changed when a photo was opened, as one line of text; usually "". */
export function noteWords({ notes = [], ...photo }) {
  return notes.map((note) => NOTES[note.code]?.(photo) ?? sentence(note.detail)).join(" ");
}

/** The server's notes as sentences. */
export const noteSentences = (notes) => notes.map(({ detail }) => sentence(detail)).join(" ");

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
