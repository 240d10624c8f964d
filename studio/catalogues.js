// The page Catalogues: the list of them, a new one from a folder and a sheet, and one at work.

import * as calls from "./cataloguecalls.js";
import * as frame from "./frame.js";
import { $, h, icon, loaded, say, settled, sorry } from "./widgets.js";
import { ago, plural } from "./words.js";

export const STATES = { draft: "Draft", running: "Running", paused: "Paused", done: "Done", cancelled: "Cancelled" };
const LIST_EVERY_MS = 5000;

let leave = () => {}; // of the view that shows
let dropping = null; // takes what is dropped on the page

/** Show a view: its title, and what is called when another one replaces it. */
export function show({ title, body, left = () => {}, drop = null }) {
  leave();
  leave = left;
  dropping = drop;
  say($("where"), title);
  document.title = `${title || "Catalogues"} · Packshot studio`;
  $("back").hidden = !location.hash.slice(1);
  $("main").replaceChildren(...body);
}

const forget = settled(9000, () => say($("status-words"), ""));

export function setStatus(text) {
  say($("status-words"), text);
  forget();
}

/** A catalogue's rows by state as one line of colours. */
export function bar({ counts, rows }) {
  const parts = ["done", "failed", "skipped", "running"].map((state) => {
    const part = h("span", { "data-state": state });
    part.style.width = `${rows ? (100 * counts[state]) / rows : 0}%`;
    return part;
  });
  const ended = counts.done + counts.failed + counts.skipped;
  return h("div", { className: "bar", role: "img", "aria-label": `${ended} of ${plural(rows, "row")} ended` }, ...parts);
}

export function standing({ state, counts, rows, pause_reason: reason }) {
  const parts = [`${counts.done} of ${plural(rows, "row")} done`];
  if (counts.failed) parts.push(`${counts.failed} failed`);
  if (counts.skipped) parts.push(`${counts.skipped} left out`);
  if (state === "paused" && reason === "budget") parts.push("the budget is spent");
  return parts.join(", ");
}

export function chip({ state, counts }) {
  const failed = state === "done" && counts.failed;
  return h("span", { className: "chip", "data-state": failed ? "failed" : state }, failed ? `Done, ${failed} failed` : STATES[state] ?? state);
}

function card(catalogue) {
  return h(
    "li",
    {},
    h(
      "a",
      { className: "catalogue", href: `#${catalogue.id}` },
      h("span", { className: "row spread" }, h("strong", {}, catalogue.name), chip(catalogue)),
      bar(catalogue),
      h("span", { className: "row spread quiet" }, h("span", {}, standing(catalogue)), h("time", {}, ago(new Date(catalogue.created_at).getTime()))),
    ),
  );
}

async function list() {
  let timer = 0;
  let left = false;
  let following = "";
  const rows = h("ol", { className: "catalogues", "aria-label": "Catalogues" });
  const more = h("button", { hidden: true, onclick: () => add(following) }, "Show older ones");
  const draw = (page, older) => {
    rows[older ? "append" : "replaceChildren"](...page.catalogues.map(card));
    following = page.next_cursor ?? "";
    more.hidden = !following;
  };
  const add = (cursor) => calls.list(cursor).then((page) => draw(page, true), sorry);
  const again = async () => {
    if (left || rows.children.length > 50) return;
    const focused = document.activeElement?.getAttribute?.("href");
    await calls.list().then((page) => !left && draw(page, false), () => {});
    if (focused && !left) rows.querySelector(`[href="${focused}"]`)?.focus();
    timer = setTimeout(again, LIST_EVERY_MS);
  };
  let page;
  try {
    page = await calls.list();
  } catch (problem) {
    sorry(problem, { key: "load", action: { label: "Try again", run: route } });
    return show({ title: "", body: [] });
  }
  if (location.hash.slice(1)) return undefined;
  const drop = (files) => begin(files);
  if (!page.catalogues.length) return show({ title: "", body: [welcome()], drop });
  const head = h("div", { className: "row spread" }, h("h2", {}, "Catalogues"), h("a", { className: "button primary", href: "#new" }, icon("plus"), "New catalogue"));
  show({ title: "", body: [h("div", { className: "page" }, head, rows, more)], drop, left: () => ((left = true), clearTimeout(timer)) });
  draw(page, false);
  timer = setTimeout(again, LIST_EVERY_MS);
  return undefined;
}

/** Nothing yet: what a catalogue is made of, and how to begin. */
export function welcome() {
  const folder = h("input", { className: "unseen", type: "file", "aria-label": "Pick a folder", onchange: ({ target }) => take(target.files) });
  folder.webkitdirectory = true;
  const files = h("input", { className: "unseen", type: "file", multiple: true, "aria-label": "Pick files", onchange: ({ target }) => take(target.files) });
  const take = async (list) => begin((await loaded("cataloguesheet")).picked(list));
  const drawing = icon("sheet");
  drawing.setAttribute("class", "empty-icon");
  return h(
    "div",
    { className: "empty welcome" },
    drawing,
    h("h2", {}, "One look for every SKU"),
    h("p", {}, "Drop the folder with your photos and your sheet: a CSV with the columns sku and photo, or a manifest. Photos alone are fine, too. Nothing is painted before you have seen the plan."),
    h("div", { className: "row" }, h("label", { className: "button primary" }, "Pick a folder", folder), h("label", { className: "button" }, "Pick files", files)),
    h("p", { className: "quiet" }, "The same from a terminal: ", h("code", {}, "packshot catalogue run FOLDER")),
  );
}

let brought = null; // files for the view "new"

function begin(files) {
  brought = files;
  if (location.hash === "#new") route();
  else location.hash = "new";
}

async function route() {
  const where = location.hash.slice(1);
  if (!where) return list();
  if (where === "new") {
    const files = brought;
    brought = null;
    if (!files) return show({ title: "New catalogue", body: [welcome()], drop: begin });
    return (await loaded("cataloguenew")).open(files, begin);
  }
  return (await loaded("catalogueview")).open(where);
}

function wireDrop() {
  let depth = 0;
  const carries = (event) => dropping && event.dataTransfer?.types.includes("Files");
  const over = (is) => ($("drop").hidden = !is);
  addEventListener("dragenter", (event) => carries(event) && over(++depth > 0));
  addEventListener("dragleave", (event) => carries(event) && over(--depth > 0));
  addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    over((depth = 0) > 0);
    const { items } = event.dataTransfer;
    const take = dropping;
    const sheet = loaded("cataloguesheet"); // the entries must be read before the event ends
    const entries = [...items].map((item) => ({ webkitGetAsEntry: ((entry) => () => entry)(item.webkitGetAsEntry()) }));
    take(await (await sheet).dropped(entries));
  });
}

frame.open();
wireDrop();
addEventListener("hashchange", route);
Promise.resolve(route()).then(() => (document.body.dataset.ready = "true"));
