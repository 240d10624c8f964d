// The page of a share link: pictures to look at and to comment on. The link's token stands after the # of the address, so
// that browsers send it nowhere; this page sends it in a header.

import * as frame from "./frame.js";
import { Marking } from "./reviewmarks.js";
import { $, h, say } from "./widgets.js";
import { ago, plural } from "./words.js";

const token = location.hash.slice(1);
const STATES = { draft: "", in_review: "", approved: "Approved", changes_requested: "Changes requested" };

async function call(method, path, json) {
  const headers = { authorization: `Bearer ${token}`, ...(json ? { "content-type": "application/json" } : {}) };
  const answer = await fetch(path, { method, headers, body: json && JSON.stringify(json), credentials: "omit" });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({ detail: `The server answered ${answer.status}.` }));
  throw new Error(problem.detail);
}

async function open() {
  let shown;
  try {
    shown = await (await call("GET", "/v1/share")).json();
  } catch (problem) {
    say($("name"), "This link shows nothing");
    say($("words"), problem.message);
    return;
  }
  document.title = `${shown.name} · Packshot`;
  say($("name"), shown.name);
  say($("words"), shown.images.length ? `${plural(shown.images.length, "picture")}, until ${new Date(shown.expires_at).toLocaleDateString()}. Drag over a picture to mark a place, then write what you think.` : "The pictures of this link were deleted.");
  $("reviewer-field").hidden = !shown.images.length;
  $("pictures").replaceChildren(...shown.images.map(card));
}

function card(image, index) {
  const canvas = h("canvas", { role: "img", "aria-label": `Picture ${index + 1}`, width: image.width, height: image.height });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ class: "over-picture", viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": "true" })) svg.setAttribute(name, value);
  const picture = h("div", { className: "shared-picture" }, canvas, svg, h("span", { className: "cross", hidden: true }));
  const marking = new Marking(picture, svg, picture.lastChild, () => (clear.hidden = !marking.marks.length));
  marking.tool = "rect";
  picture.addEventListener("pointerdown", (event) => marking.press(event, picture));
  const clear = h("button", { className: "small", hidden: true, onclick: () => marking.back() }, "Take the mark away");
  const note = h("textarea", { rows: 3, maxLength: 2000, required: true, "aria-label": `Comment on picture ${index + 1}`, placeholder: "What do you think?" });
  const problem = h("p", { className: "problem", role: "alert" });
  const list = h("ol", { className: "log" });
  const comments = [...image.comments];
  const lay = () => {
    list.replaceChildren(...comments.map((one) => h("li", {}, h("strong", {}, one.reviewer ?? "Somebody"), `, ${ago(Date.parse(one.at))}`, h("p", {}, one.note))));
    marking.show(marking.marks, comments.flatMap(({ marks }) => marks));
  };
  const form = h("form", { className: "field" }, note, h("div", { className: "row spread" }, clear, h("button", { type: "submit", className: "primary" }, "Comment")), problem);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const reviewer = $("reviewer").value.trim();
    if (!reviewer) return say(problem, "Write your name above the pictures first."), $("reviewer").focus();
    try {
      comments.push(await (await call("POST", `${image.url}/comments`, { reviewer, note: note.value, marks: marking.marks })).json());
      note.value = "";
      marking.marks = [];
      clear.hidden = true;
      say(problem, "");
      lay();
    } catch (error) {
      say(problem, error.message);
    }
  });
  paint(canvas, image.url).catch((error) => say(problem, error.message));
  const state = STATES[image.state];
  const title = h("div", { className: "row spread" }, h("h3", {}, image.sku ?? `Picture ${index + 1}`), state ? h("span", { className: "chip", "data-state": image.state }, state) : null);
  lay();
  return h("article", { className: "shared" }, picture, h("div", { className: "shared-words" }, title, list, form));
}

async function paint(canvas, url) {
  const bitmap = await createImageBitmap(await (await call("GET", url)).blob());
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}

frame.open();
open().then(() => (document.body.dataset.ready = "true"));
addEventListener("hashchange", () => location.reload());
