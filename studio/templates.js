// Scene templates: the tenant's styles, as thumbnails that the pack painted. One press takes a template's scene.

import { modeOf } from "./light.js";
import * as api from "./api.js";
import * as lists from "./lists.js";
import { styleFrom, templateFields } from "./style.js";
import { STARTERS, samplePhoto } from "./starters.js";
import { change, desk, results, watch } from "./store.js";
import { $, alertOf, h, icon, iconButton, keyed, say, sorry, TRY_AGAIN_MS } from "./widgets.js";
import { plain } from "./words.js";

const SIDE_PX = 256; // of a starter scene's picture

let rows = null; // the styles, oldest first; null before the server answered
let painting = null; // the name of the starter scene that is painted now
let status = () => {};

/** `tell(text)` sets the status line. */
export function open(tell) {
  status = tell;
  $("template-form").append(
    h("input", { id: "template-name", type: "text", maxLength: 120, "aria-label": "Name of the template", autocomplete: "off" }),
    h("button", { id: "template-keep", className: "small" }, "Save"),
    h("button", { id: "template-cancel", className: "small ghost" }, "Cancel"),
  );
  $("template-save").addEventListener("click", () => ask(suggested()));
  $("template-keep").addEventListener("click", saveBrief);
  $("template-name").addEventListener("keydown", (event) => {
    if (event.key === "Enter") (event.preventDefault(), saveBrief()); // the form around it would paint
    else if (event.key === "Escape") ask(null);
  });
  $("template-cancel").addEventListener("click", () => ask(null));
  $("template-starters").addEventListener("click", paintStarters);
  watch((what) => what === "desk" && rows && show());
  load();
}

/** Read the styles again, until the server answers. */
export async function load() {
  try {
    rows = (await lists.styles()).reverse();
  } catch (problem) {
    if (!problem.code) throw problem;
    setTimeout(load, TRY_AGAIN_MS);
    return;
  }
  show();
}

const used = ({ prompt, negative_prompt: negative }) => desk.brief.prompt === prompt && desk.brief.negative_prompt === negative;
const missing = () => STARTERS.filter(({ name }) => !rows.some((row) => row.name === name));

function show() {
  const items = [...rows, ...(painting ? [{ id: "painting", name: painting }] : [])];
  keyed($("template-list"), items, ({ id, name, thumbnail_url: url }) => `${id} ${name} ${url}`, tile, (item, row) => {
    item.firstChild.setAttribute("aria-pressed", String(Boolean(row.url) && used(row)));
  });
  $("template-list").hidden = !items.length;
  const few = rows.length === 0 && !painting;
  $("template-none").hidden = !few;
  say($("template-none"), "A template keeps a scene under a name, with a picture of it, for everybody with your key.");
  const left = missing().length;
  $("template-starters").hidden = Boolean(painting) || left === 0 || (rows.length > 0 && left === STARTERS.length);
  const words = left === STARTERS.length ? `Paint ${left} starter scenes` : left === 1 ? "Paint the last starter scene" : `Paint the other ${left} starter scenes`;
  say($("template-starters-words"), words);
}

function tile(row) {
  const picture = row.thumbnail_url ? h("img", { src: row.thumbnail_url, alt: "", loading: "lazy", decoding: "async" }) : h("span", { className: "template-blank", "aria-hidden": "true" });
  if (!row.url) return h("li", {}, h("button", { className: "template", disabled: true }, h("span", { className: "template-blank" }, h("span", { className: "spinner", "aria-hidden": "true" })), h("span", { className: "template-name" }, row.name)));
  if (!row.thumbnail_url) picture.append(icon("plus"));
  return h(
    "li",
    {},
    h("button", { className: "template", title: row.prompt, onclick: () => take(row) }, picture, h("span", { className: "template-name" }, row.name)),
    iconButton("close", `Delete the template ${row.name}`, () => remove(row), "strip-remove"),
  );
}

function take(row) {
  change(
    (now) => {
      Object.assign(now.brief, { prompt: row.prompt, negative_prompt: row.negative_prompt });
      if (row.shadow) now.brief.shadow = row.shadow;
      now.brief.style = styleFrom(row);
    },
    { brief: true },
  );
  status(`The scene is ${row.name}.`);
}

async function remove(row) {
  try {
    await lists.deleteStyle(row.id);
  } catch (problem) {
    if (problem.code !== "not_found") return sorry(problem);
  }
  rows = rows.filter(({ id }) => id !== row.id);
  show();
  const { name, prompt, negative_prompt: negative, shadow, references, palette, light, forbidden_words } = row;
  const back = () => add({ name, prompt, negative_prompt: negative, shadow, references, palette, light, forbidden_words, ...(pictured(row) ? { image_id: pictured(row).id } : {}) });
  alertOf(`The template ${name} was deleted.`, "Shots that used it stay.", { key: "template", note: true, action: { label: "Put it back", run: back } });
}

/** The newest picture of this browser that shows the scene, or undefined. */
const pictured = ({ prompt, negative_prompt: negative }) =>
  results().find(({ entry: { request } }) => request.background === "generate" && request.prompt === prompt && request.negative_prompt === negative)?.image;

const suggested = () => desk.brief.prompt.split(",").slice(0, 2).join(",").replace(/^(on|in) (a |an |the )?/i, "").trim().slice(0, 60);

function ask(name) {
  $("template-form").hidden = name === null;
  $("template-save").hidden = name !== null;
  say($("template-problem"), "");
  if (name === null) return;
  $("template-name").value = name.charAt(0).toUpperCase() + name.slice(1);
  $("template-name").select();
}

async function saveBrief() {
  const { prompt, negative_prompt: negative, shadow } = desk.brief;
  const image = pictured(desk.brief);
  const problem = await add({ name: $("template-name").value, prompt, negative_prompt: negative, shadow: modeOf(shadow), ...templateFields(desk.brief), ...(image ? { image_id: image.id } : {}) });
  if (!problem) return ask(null);
  const { title, remedy } = plain(problem);
  say($("template-problem"), `${title} ${remedy}`);
}

/** Save a picture's scene, with the picture as thumbnail. Returns the template's name, or throws Problem. */
export async function saveScene({ image, entry: { request } }) {
  const base = request.prompt.split(",").slice(0, 2).join(",").trim().slice(0, 60) || "Plain scene";
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? base : `${base} ${number}`;
    const fields = { name, prompt: request.prompt, negative_prompt: request.negative_prompt, shadow: modeOf(request.shadow), image_id: image.id };
    const problem = await add(fields);
    if (!problem) return name;
    if (problem.code !== "name_taken" || number > 50) throw problem;
  }
}

/** Create a style. Returns the Problem if it was refused. */
async function add(fields) {
  try {
    const made = await lists.addStyle(fields);
    rows = [...(rows ?? []), made];
    show();
    status(`${made.name} is a template.`);
    return null;
  } catch (problem) {
    if (!problem.code) throw problem;
    return problem;
  }
}

/** Let the pack paint the starter scenes around a plain vase, one by one, and save each as a template. */
async function paintStarters() {
  try {
    const photo = await api.upload(await samplePhoto(), {});
    const [mask] = await api.masks(photo.id, {});
    for (const scene of missing()) {
      painting = scene.name;
      show();
      const image = await lists.painted({
        canvas: { width: SIDE_PX, height: SIDE_PX },
        layers: [{ mask_id: mask.id, x: 0.5, y: 0.54, scale: 0.66 }],
        prompt: scene.prompt,
        seed: scene.seed ?? 7,
        priority: "catalogue",
      });
      painting = null;
      const problem = image && (await add({ name: scene.name, prompt: scene.prompt, shadow: "contact", image_id: image.id }));
      if (problem) throw problem;
    }
    status("The starter scenes are ready.");
  } catch (problem) {
    sorry(problem, { key: "template", action: { label: "Try again", run: paintStarters } });
  } finally {
    painting = null;
    show();
  }
}
