// The page Verify: drop a file, and read whether it was made here, by which shot, and what was done to it since.

import * as api from "./api.js";
import * as frame from "./frame.js";
import { $, h, icon, say } from "./widgets.js";
import { plain } from "./words.js";

const SHOWN_PX = 1024;
const HOW = {
  exact: "The bytes are those of a file that was made here.",
  c2pa: "Its signature is this server's, and the file was not changed since it was signed.",
  watermark: "Its scene has the invisible watermark of a picture that was made here.",
  fingerprint: "Its pixels look like those of a picture that was made here.",
  none: "No picture of this server has these bytes, this signature, this watermark or these pixels. That proves nothing: a copy that was cropped or painted over is not recognised.",
};
const LARGE = ["This file is larger than 32 MB.", "Save it as JPEG and ask again."];

let asked = 0; // a later file replaces an earlier one

async function ask(file) {
  const mine = ++asked;
  document.body.dataset.ready = "";
  $("ask").classList.add("again");
  say($("ask-words"), "Drop or paste another file, or pick one.");
  $("answer").hidden = false;
  answer("asking", file.name, null, "Looking…", "");
  draw(file, mine);
  const body = new FormData();
  body.append("file", file, file.name || "file");
  try {
    const found = await api.json(api.call("POST", "/v1/verify", { body }));
    if (mine === asked) tell(found, file);
  } catch (problem) {
    if (!problem.code) throw problem;
    const { title, remedy } = plain(problem);
    const [what, then] = problem.code === "body_too_large" ? LARGE : [title, remedy || problem.detail];
    if (mine === asked) answer("unread", file.name, "warn", what, then);
  } finally {
    if (mine === asked) document.body.dataset.ready = "true";
  }
}

function answer(ours, name, sign, verdict, how, ...details) {
  $("answer").dataset.ours = ours;
  say($("name"), name ?? "");
  $("verdict").replaceChildren(...(sign ? [icon(sign)] : []), verdict);
  say($("how"), how);
  $("details").replaceChildren(...details.filter(Boolean));
}

function tell(found, file) {
  const verdict = found.ours ? "Made here" : "Not recognised";
  answer(found.ours ? "yes" : "no", file.name, found.ours ? "check" : "close", verdict, HOW[found.match], since(found), picture(found), signature(found.c2pa));
}

function since({ changed_since: changes }) {
  if (!changes) return null;
  if (!changes.length) return h("section", {}, h("h3", {}, "Since then"), h("p", {}, "Nothing was changed."));
  return h("section", {}, h("h3", {}, "Since then"), h("ul", {}, ...changes.map(({ detail }) => h("li", {}, detail))));
}

function picture({ ours, image_id: image, shot_id: shot, recipe }) {
  if (!ours) return null;
  if (!image) return h("section", {}, h("h3", {}, "The picture"), h("p", { className: "quiet" }, "It belongs to another account, or nobody is signed in. Only its owner sees how it was made."));
  const { background, prompt } = recipe.request;
  const rows = [
    ["Picture", h("a", { href: `/v1/images/${image}`, target: "_blank" }, image)],
    ["Shot", shot],
    ["Background", background === "generate" ? "painted scene" : background],
    ...(background === "generate" && prompt ? [["Prompt", prompt]] : []),
    ["Seed", String(recipe.seed)],
    ["Version", recipe.version],
  ];
  return h("section", {}, h("h3", {}, "The picture"), list(rows));
}

function signature({ present, valid, signer, trusted }) {
  const rows = [["Signed by", signer ?? "unknown"], ["Valid", valid ? "yes" : "no: the file was changed after signing, or the signature is damaged"], ["Signed here", trusted ? "yes" : "no, or no longer"]];
  return h("section", {}, h("h3", {}, "C2PA signature"), present ? list(rows) : h("p", { className: "quiet" }, "The file has none."));
}

const list = (rows) => h("dl", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

async function draw(file, mine) {
  const canvas = $("shown");
  canvas.hidden = true;
  try {
    const bitmap = await createImageBitmap(file);
    if (mine !== asked) return bitmap.close();
    const by = Math.min(1, SHOWN_PX / Math.max(bitmap.width, bitmap.height));
    Object.assign(canvas, { width: Math.max(1, Math.round(bitmap.width * by)), height: Math.max(1, Math.round(bitmap.height * by)), hidden: false });
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
  } catch {
    // no picture that this browser can show; the server says what it is
  }
}

function wire() {
  let depth = 0;
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const over = (is) => ($("drop").hidden = !is);
  addEventListener("dragenter", (event) => carries(event) && over(++depth > 0));
  addEventListener("dragleave", (event) => carries(event) && over(--depth > 0));
  addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    over((depth = 0) > 0);
    if (event.dataTransfer.files[0]) ask(event.dataTransfer.files[0]);
  });
  addEventListener("paste", ({ clipboardData }) => clipboardData.files[0] && ask(clipboardData.files[0]));
  $("pick").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) ask(file);
  });
}

frame.open();
wire();
document.body.dataset.ready = "true";
