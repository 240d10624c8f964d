// The page Review: a sitting over the pictures that wait, by keyboard alone. The next picture is fetched while one is judged.

import * as api from "./api.js";
import * as frame from "./frame.js";
import * as list from "./reviewlist.js";
import { Marking } from "./reviewmarks.js";
import * as touch from "./reviewtouch.js";
import { judged } from "./verdict.js";
import * as view from "./reviewview.js";
import { $, alertOf, h, icon, keyed, loaded, say, sorry } from "./widgets.js";
import { ago, plain, titleOf } from "./words.js";

const AHEAD = 3; // pictures that are fetched before they are looked at
const MORE_AT = 10; // pictures left when the next page is fetched
const NAME = "packshot.reviewer";
const TEXT = "textarea, select, input:not([type=checkbox])";
const STATES = { draft: "New", in_review: "In review", approved: "Approved", changes_requested: "Changes requested" };
/** Code, words; the number key is the place, 0 the tenth. */
const REASONS = [
  ["product_changed", "Product changed"],
  ["cutout_edge", "Cutout edge"],
  ["floating", "Floating"],
  ["scale", "Scale"],
  ["shadow", "Shadow"],
  ["light", "Light"],
  ["hallucination", "Invented things"],
  ["text", "Text"],
  ["brand", "Brand"],
  ["other", "Other"],
];
const reasonWords = Object.fromEntries(REASONS);

let items = [];
let cursor = null;
let at = -1;
let asking = false; // R was pressed before a reason was chosen
let loading = null;
let given = new URLSearchParams(location.search);
const chosen = new Set(); // ids of images, for download and share links

const marking = new Marking($("content"), $("marks"), $("cross"), () => {
  if (!items[at]) return;
  keepNote();
  items[at].marks = marking.marks;
  $("unmark").disabled = !marking.marks.length;
  touch.show(items[at]);
});
const item = () => items[at];

async function load(more = false) {
  const filters = Object.fromEntries(["project_id", "sku", "catalogue_id"].filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
  try {
    const page = await list.page({ review: $("filter").value, cursor: more ? cursor : "", filters });
    cursor = page.cursor;
    items = more ? [...items, ...page.items] : page.items;
    items.forEach((one, index) => (one.number = index + 1));
    while (cursor && items.length < MORE_AT) await load(true);
  } catch (problem) {
    sorry(problem, { key: "load" });
  }
}

async function start() {
  items = [];
  at = -1;
  $("tools").hidden = $("panes").hidden = $("film").hidden = true;
  document.querySelector("main").setAttribute("aria-busy", "true");
  await load();
  document.querySelector("main").removeAttribute("aria-busy");
  film();
  if (items.length) await go(Math.max(0, items.findIndex(({ image }) => image.id === given.get("image"))));
  else empty();
}

function empty() {
  const open = $("filter").value === "none";
  say($("empty-title"), open ? "Nothing waits for a review" : "No pictures here");
  say($("empty-words"), open ? "Finished pictures appear here until somebody approves them or asks for changes." : "Choose another state above.");
  $("review-empty").hidden = false;
  progress();
}

/** Show a picture. What was fetched ahead shows in the next frame. */
async function go(to) {
  if (to < 0 || to >= items.length || to === at) return;
  const began = performance.now();
  keepNote();
  if (marking.tool) useTool(marking.tool); // arrows go from picture to picture again
  at = to;
  const mine = item();
  asking = false;
  $("tools").hidden = $("panes").hidden = $("film").hidden = false;
  $("review-empty").hidden = true;
  try {
    await view.show(mine);
    if (mine !== item()) return;
    side();
    await new Promise((painted) => requestAnimationFrame(painted));
    document.body.dataset.shownMs = String(Math.round(performance.now() - began));
    document.body.dataset.shown = mine.image.id;
    await fetched(mine);
    if (mine === item()) side();
  } catch (problem) {
    if (problem.code) sorry(problem, { key: "picture" });
    else if (mine === item()) sorry(new api.Problem("not_found", "This picture was deleted."), { key: "picture" }), side();
  }
  for (const next of items.slice(at + 1, at + 1 + AHEAD)) ahead(next);
  if (cursor && items.length - at < MORE_AT) loading ??= load(true).then(() => ((loading = null), film()));
}

/** The log and the tag of the state that is shown. */
function fetched(one) {
  one.log ??= list.logOf(one).then((log) => ((one.known = log), (one.state = log.state), log), (problem) => ((one.log = null), Promise.reject(problem)));
  return one.log;
}

function ahead(one) {
  view.prepare(one).catch(() => {});
  fetched(one).catch(() => {});
}

function keepNote() {
  if (!item()) return;
  item().note = $("note").value;
  if (!$("touch-field").hidden) item().touch = $("touch-prompt").value;
}

function side() {
  const { image, shot, state, known, reason = null, note = "" } = item();
  say($("title"), shot.sku ?? `Picture ${at + 1}`);
  say($("state"), STATES[state]);
  $("state").dataset.state = state;
  const facts = [`${image.width} × ${image.height} px`, `seed ${image.seed}`, ago(Date.parse(shot.finished_at))];
  if (image.recipe.tries?.length > 1) facts.push(`painted ${image.recipe.tries.length} times`);
  if (image.version > 1) facts.unshift(`Version ${image.version}`);
  if (shot.sku && shot.images.length > 1) facts.unshift(`${shot.images.indexOf(image) + 1} of ${shot.images.length}`);
  say($("facts"), facts.join(" · "));
  say($("prompt"), titleOf(shot.request));
  verdict(judged(image.verdict));
  for (const button of $("reasons").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.reason === reason));
  document.body.toggleAttribute("data-asking", asking);
  if ($("note").value !== note) $("note").value = note;
  const old = (known?.reviews ?? []).flatMap(({ marks }) => marks);
  marking.show(item().marks ?? [], old);
  $("unmark").disabled = !marking.marks.length;
  touch.show(item());
  $("approve").disabled = $("change").disabled = Boolean(item().painting);
  $("log-field").hidden = !known?.reviews.length;
  keyed($("log"), [...(known?.reviews ?? [])].reverse(), ({ number }) => number, line);
  $("met").hidden = !item().met;
  say($("met-words"), item().met ?? "");
  $("before").disabled = at === 0;
  $("next").disabled = at === items.length - 1;
  progress();
  film();
}

function verdict({ proved, title, warnings }) {
  $("verdict").dataset.proved = String(proved);
  const proof = h("p", { className: "proof" }, icon(proved ? "check" : "warn"), title);
  $("verdict").replaceChildren(proof, h("ul", { className: "warnings" }, ...warnings.map(({ text }) => h("li", {}, text))));
}

function line({ at: when, by, reviewer, state, reason, note }) {
  const who = reviewer ?? (by === "redo" ? "Made again" : by.startsWith("share ") ? "A visitor" : "Somebody");
  const what = state ? `${STATES[state]}${reason ? `: ${reasonWords[reason] ?? reason}` : ""}` : "Comment";
  return h("li", {}, h("strong", {}, what), ` · ${who}${by.startsWith("share ") ? " (share link)" : ""}, ${ago(Date.parse(when))}`, note ? h("p", {}, note) : null);
}

function progress() {
  const done = (state) => items.filter((one) => one.state === state).length;
  const words = items.length ? [h("strong", {}, `${at + 1} of ${items.length}${cursor ? " or more" : ""}`), ` · ${done("approved")} approved · ${done("changes_requested")} to change`] : [];
  $("progress").replaceChildren(...words);
}

function film() {
  keyed($("film"), items, ({ image }) => image.id, frameOf, showFrame);
  $("film").querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest", inline: "center" });
}

function frameOf(one) {
  const picture = h("img", { src: api.thumbnailUrl(one.image), alt: "", loading: "lazy", decoding: "async", width: 64, height: 64 });
  return h("li", {}, h("button", { onclick: () => go(items.indexOf(one)) }, picture, h("span", { className: "dot" }), h("span", { className: "chosen", "aria-hidden": "true" }, "✓")));
}

function showFrame(element, one) {
  const button = element.firstChild;
  const [, dot, tick] = button.children;
  button.setAttribute("aria-current", String(one === item()));
  button.setAttribute("aria-label", `Picture ${one.number}, ${STATES[one.state]}${chosen.has(one.image.id) ? ", chosen" : ""}`);
  const decided = list.DECIDED.includes(one.state);
  button.toggleAttribute("data-decided", decided);
  dot.hidden = !decided;
  tick.hidden = !chosen.has(one.image.id);
  if (decided && dot.dataset.state !== one.state) {
    dot.dataset.state = one.state;
    dot.replaceChildren(icon(one.state === "approved" ? "check" : "close"));
  }
}

/** Decide about the open picture and show the next one; what the server says comes later. */
async function decide(state) {
  const one = item();
  if (!one || one.sending || one.painting) return;
  keepNote();
  const body = { state, note: one.note || null, marks: one.marks ?? [], reviewer: $("reviewer").value.trim() || null };
  if (state === "changes_requested") {
    if (!one.reason) return ask();
    body.reason = one.reason;
  }
  const before = one.state;
  const again = state === "changes_requested" && $("redo").checked;
  one.sending = true;
  one.met = null;
  const log = await fetched(one).catch(() => null); // mostly there already
  one.state = state;
  const next = state === "in_review" ? -1 : nextOpen();
  if (next >= 0) go(next);
  else side();
  try {
    await list.decide(one, log?.tag, body);
    Object.assign(one, { log: null, known: null, note: "", marks: [] });
    if (again) await redo(one);
    await fetched(one);
  } catch (problem) {
    await refused(one, before, problem);
  }
  one.sending = false;
  if (one === item()) side();
  else film(), progress();
  finished();
}

/** The next picture without a decision: after this one, or else from the start. */
function nextOpen() {
  const waits = (one, index) => index !== at && !list.DECIDED.includes(one.state);
  const after = items.findIndex((one, index) => index > at && waits(one, index));
  return after >= 0 ? after : items.findIndex(waits);
}

function finished() {
  if ($("filter").value !== "none" || cursor || items.some((one) => one.sending || !list.DECIDED.includes(one.state))) return;
  alertOf("Every picture is decided.", "You can go back to any of them, or take another state above.", { key: "finished", note: true });
}

async function redo(one) {
  try {
    await list.redo(one, crypto.randomUUID());
  } catch (problem) {
    if (!problem.code) throw problem;
    alertOf(`${nameOf(one)} was not made again.`, plain(problem).remedy || problem.detail, { key: `redo ${one.image.id}` });
  }
}

/** Paint the open picture's marks anew. Its next version is shown in its place. */
async function repaint() {
  const one = item();
  if (!one?.marks?.length || one.painting || $("touch-field").hidden) return;
  keepNote();
  if (marking.tool) useTool(marking.tool);
  const made = await touch.repaint(one, () => one === item() && side());
  film();
  if (one !== item()) return made || sorryFor(one);
  if (made) await view.show(one);
  document.body.dataset.shown = one.image.id;
  await fetched(one).catch(() => null);
  if (one === item()) side();
}

const sorryFor = (one) => alertOf(`${nameOf(one)} was not painted anew.`, one.met, { key: one.image.id, action: lookAt(one) });

const nameOf = (one) => one.shot.sku ?? `Picture ${one.number}`;

/** Another reviewer was faster, or the server refused. The decision did not count; what was entered stays. */
async function refused(one, before, problem) {
  if (!problem.code) throw problem;
  Object.assign(one, { state: before, log: null, known: null });
  if (problem.code !== "version_changed") return sorry(problem, { key: one.image.id, action: lookAt(one) });
  const log = await fetched(one);
  const last = log.reviews.findLast(({ state }) => state);
  one.met = `${last?.reviewer ?? "Somebody"} decided since you opened this picture: ${STATES[log.state]}${last?.reason ? ` (${reasonWords[last.reason]})` : ""}. Yours was not stored. Look again, then decide anew.`;
  if (one !== item()) alertOf(`${nameOf(one)} was decided by somebody else.`, `It is ${STATES[log.state].toLowerCase()}; your decision was not stored.`, { key: one.image.id, action: lookAt(one) });
}

const lookAt = (one) => ({ label: "Look", run: () => go(items.indexOf(one)) });

function ask() {
  asking = true;
  alertOf("Which reason?", "Press 1 to 9, or 0 for another one.", { key: "reason", note: true });
  side();
}

function pickReason(reason) {
  if (!item()) return;
  keepNote();
  item().reason = item().reason === reason && !asking ? null : reason;
  const send = asking;
  asking = false;
  side();
  if (send) decide("changes_requested");
}

function choose() {
  const { id } = item().image;
  if (!chosen.delete(id)) chosen.add(id);
  film();
}

function useTool(tool) {
  if (tool) marking.use(tool);
  else marking.nextTool();
  if (marking.tool) $("panes").dataset.tool = marking.tool;
  else delete $("panes").dataset.tool;
  for (const button of document.querySelectorAll("[data-tool][aria-pressed]")) button.setAttribute("aria-pressed", String(button.dataset.tool === marking.tool));
}

const KEYS = {
  a: () => decide("approved"),
  r: () => decide("changes_requested"),
  u: () => decide("in_review"),
  p: () => view.use("picture"),
  s: () => view.use("side"),
  w: () => view.use("swipe"),
  b: () => view.use("blink"),
  d: () => view.use("difference"),
  v: () => view.toggleBoxes(),
  m: () => useTool(null),
  t: repaint,
  n: () => $("note").focus(),
  x: choose,
  z: () => view.zoom().toggle(),
  "+": () => view.zoom().larger(),
  "=": () => view.zoom().larger(),
  "-": () => view.zoom().smaller(),
  "[": () => view.wipe(-2),
  "]": () => view.wipe(2),
  " ": () => view.blink(),
  arrowleft: () => go(at - 1),
  arrowright: () => go(at + 1),
  backspace: () => marking.back(),
  escape: () => marking.tool && useTool(marking.tool),
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest(TEXT)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (!item()) return;
  if (event.target.closest("button, summary, a, label") && [" ", "Enter"].includes(event.key)) return; // it is pressed
  const reason = /^\d$/.test(event.key) && REASONS[(Number(event.key) + 9) % 10]?.[0];
  const run = reason ? () => pickReason(reason) : marking.key(event) ? () => {} : KEYS[event.key.toLowerCase()];
  if (!run) return;
  event.preventDefault();
  run();
}

function wire() {
  $("reasons").append(...REASONS.map(([reason, words], index) => h("li", {}, h("button", { "data-reason": reason, "aria-pressed": "false", onclick: () => pickReason(reason) }, h("kbd", {}, String((index + 1) % 10)), words))));
  for (const button of document.querySelectorAll("[data-view][aria-pressed]")) button.addEventListener("click", () => view.use(button.dataset.view));
  for (const button of document.querySelectorAll("[data-tool][aria-pressed]")) button.addEventListener("click", () => useTool(button.dataset.tool));
  const clicks = { approve: () => decide("approved"), change: () => decide("changes_requested"), before: () => go(at - 1), next: () => go(at + 1), unmark: () => marking.back(), touch: repaint };
  const looks = { "zoom-in": () => view.zoom().larger(), "zoom-out": () => view.zoom().smaller(), "zoom-fit": () => view.zoom().toggle() };
  for (const [id, run] of Object.entries({ ...clicks, ...looks })) $(id).addEventListener("click", run);
  for (const what of ["zip", "share"]) $(what).addEventListener("click", async () => (await loaded("reviewsend"))[what](...sent()));
  $("filter").addEventListener("change", () => ($("filter").blur(), start()));
  $("reviewer").value = stored(NAME);
  $("reviewer").addEventListener("change", () => stored(NAME, $("reviewer").value.trim()));
  addEventListener("keydown", pressed);
}

/** The pictures to download or share: those that were chosen, or the open one; and whether they were chosen. */
function sent() {
  const some = items.filter(({ image }) => chosen.has(image.id));
  return some.length || !item() ? [some, true] : [[item()], false];
}

function stored(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key) ?? "";
  } catch {
    return ""; // no storage: the name lasts until the page is closed
  }
}

frame.open();
view.open((event, room) => marking.press(event, room));
wire();
start().then(() => (document.body.dataset.ready = "true"));
