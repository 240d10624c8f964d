// Render: mood pictures, whose colours, light or look the scene takes.

import * as api from "./api.js";
import { change, desk, watch } from "./store.js";
import { $, alertOf, h, iconButton, keyed, say, sorry } from "./widgets.js";
import { plural } from "./words.js";

const MOST = 8; // pictures, and colours of a palette: the API's
const WEIGHTS = [["0.5", "½×"], ["1", "1×"], ["2", "2×"], ["4", "4×"]];
const STRENGTH = 0.9; // the API's
const SIDES = [[45, "behind"], [135, "the right"], [225, "the front"], [315, "the left"], [361, "behind"]];
const WRONG = { // codes of a picture that cannot be one
  not_found: ["This picture is gone from the server.", "Add it again."],
  reference_too_small: ["This picture is too small to show a scene.", "Use one of at least 64 px on each side."],
  reference_cutout: ["This picture is mostly transparent.", "Use one with its background."],
};
const PARTS = [["palette", "Colours"], ["light", "Light"], ["scene", "Look"]];

const fresh = () => ({ pictures: [], palette: null, light: null, found: null, off: [], strength: STRENGTH });
const own = () => desk.brief.style ?? fresh();
const coloursOf = (style) => style.palette ?? style.found?.palette ?? [];
const lightOf = (style) => style.light ?? style.found?.light ?? null;
const referenceOf = ({ id, weight }) => ({ [id.startsWith("im_") ? "image_id" : "photo_id"]: id, weight });

let status = () => {};
let engine = () => null;
let sending = 0;
let asked = ""; // the pictures whose palette was asked for last

/** Make the field, once. `tell(text)` sets the status line; `engineNow()` is the chosen engine. */
export function open(tell, engineNow) {
  [status, engine] = [tell, engineNow];
  const pick = h("input", { id: "mood-files", className: "unseen", type: "file", accept: "image/*", multiple: true, onchange: ({ target }) => (add([...target.files]), (target.value = "")) });
  const field = h("div", { id: "style", className: "field" });
  $("brief-negative_prompt").closest(".field").after(field);
  field.append(
    h("div", { className: "row spread" }, h("span", { className: "label", id: "style-label" }, "Style from pictures"), h("button", { id: "style-clear", className: "link", onclick: () => set(null) }, "Remove")),
    h("ul", { id: "moods", className: "moods", "aria-labelledby": "style-label" }),
    h("label", { id: "mood-add", className: "button wide add" }, h("span", {}, "Add mood pictures"), pick),
    h("p", { id: "mood-none", className: "quiet" }, "Up to eight pictures whose colours and light the scene takes. Drop them here."),
    h("div", { id: "style-more", className: "style-more" },
      h("div", { className: "row spread" }, h("span", { className: "label", id: "palette-label" }, "Palette"), h("button", { id: "palette-found", className: "link", onclick: () => set({ palette: null }) }, "As found")),
      h("div", { id: "palette", className: "swatches", role: "group", "aria-labelledby": "palette-label" }),
      h("div", { id: "style-parts", className: "row", role: "group", "aria-label": "What the scene takes" }, ...PARTS.map(part)),
      h("p", { id: "style-words", className: "quiet" }),
      h("div", { className: "row spread" }, h("label", { className: "label", for: "style-strength" }, "Strength"), h("span", { id: "style-percent", className: "quiet" })),
      h("input", { id: "style-strength", type: "range", min: "0", max: "100", step: "5", oninput: ({ target }) => set({ strength: Number(target.value) / 100 }, "style-strength") }),
    ),
  );
  let depth = 0; // of files that are dragged over the page: the field stands out then
  const over = (is) => field.classList.toggle("taking", is);
  addEventListener("dragenter", ({ dataTransfer }) => dataTransfer?.types.includes("Files") && over(++depth > 0));
  addEventListener("dragleave", ({ dataTransfer }) => dataTransfer?.types.includes("Files") && over(--depth > 0));
  addEventListener("drop", () => over((depth = 0) > 0));
  field.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
  watch((what) => what === "desk" && look());
  look();
}

function part([name, words]) {
  const box = h("input", { type: "checkbox", onchange: ({ target }) => set({ off: target.checked ? own().off.filter((one) => one !== name) : [...own().off, name] }) });
  box.dataset.part = name;
  return h("label", { className: "check" }, box, words);
}

const isEmpty = (style) => !style.pictures.length && !style.palette?.length && !style.light;

/** Change fields of the style; null takes it away. */
function set(fields, mark = true) {
  const next = fields && { ...structuredClone(own()), ...fields };
  change((now) => (now.brief.style = next && !isEmpty(next) ? next : null), { brief: mark });
}

/** Upload pictures and add them. */
export async function add(files) {
  const room = MOST - own().pictures.length - sending;
  if (files.length > room) status(`A style has at most ${MOST} pictures.`);
  for (const file of files.slice(0, room)) {
    sending += 1;
    show();
    try {
      const { id } = await api.upload(file, { project: desk.project?.id });
      if (!own().pictures.some((one) => one.id === id)) set({ pictures: [...own().pictures, { id, name: file.name || "Pasted picture", weight: 1 }] });
    } catch (problem) {
      sorry(problem, { key: "style" });
    } finally {
      sending -= 1;
      show();
    }
  }
}

/** Add a picture that the server has. Returns whether the style has it now; it has at most MOST. */
export function usePicture({ id, name }) {
  const { pictures } = own();
  if (pictures.some((one) => one.id === id)) return true;
  if (pictures.length + sending >= MOST) {
    status(`A style has at most ${MOST} pictures.`);
    return false;
  }
  set({ pictures: [...pictures, { id, name, weight: 1 }] });
  return true;
}

/** Ask for the palette of the pictures whenever they change. */
async function look() {
  show();
  const { pictures, found } = own();
  const key = JSON.stringify(pictures.map(({ id, weight }) => [id, weight]));
  if (!pictures.length || found?.of === key || asked === key) return;
  asked = key;
  try {
    const { palette, light } = await api.json(api.call("POST", "/v1/palettes", { json: { references: pictures.map(referenceOf) } }));
    if (asked === key && desk.brief.style) change((now) => (now.brief.style.found = { of: key, palette: palette.map(({ colour }) => colour), shares: palette.map(({ share }) => share), light }));
  } catch (problem) {
    if (!WRONG[problem.code]) return sorry(problem, { key: "style" });
    const named = pictures.find(({ id }) => problem.detail.includes(id)) ?? pictures.at(-1);
    alertOf(`${named.name}: ${WRONG[problem.code][0].toLowerCase()}`, WRONG[problem.code][1], { key: "style" });
    set({ pictures: pictures.filter((one) => one !== named) });
  } finally {
    if (asked === key) asked = "";
  }
}

const canLook = (style) => style.pictures.length > 0 && style.pictures.length <= (engine()?.capabilities?.references ?? 0);

/** Which parts the brief can have now. */
const offered = (style) => ({ palette: coloursOf(style).length > 0, light: Boolean(lightOf(style)), scene: canLook(style) });

/** Show the desk's style. */
export function show() {
  if (!$("moods")) return;
  const style = own();
  const can = offered(style);
  const colours = coloursOf(style);
  keyed($("moods"), style.pictures, ({ id }) => id, mood, (item, { weight }) => (item.querySelector("select").value = String(weight)));
  $("moods").hidden = !style.pictures.length;
  $("style-clear").hidden = isEmpty(style);
  $("mood-none").hidden = style.pictures.length > 0 || sending > 0;
  $("mood-add").hidden = style.pictures.length >= MOST;
  say($("mood-add").firstChild, sending ? `Adding ${plural(sending, "picture")}…` : style.pictures.length ? "Add more" : "Add mood pictures");
  $("style-more").hidden = isEmpty(style);
  $("palette-found").hidden = !style.palette || !style.found;
  keyed($("palette"), [...colours.keys(), ...(colours.length < MOST ? ["add"] : [])], String, swatch, (item, at) => at !== "add" && paint(item, colours[at]));
  for (const [name] of PARTS) {
    const box = document.querySelector(`#style-parts [data-part=${name}]`);
    box.disabled = !can[name];
    box.checked = can[name] && !style.off.includes(name);
    if (name === "scene") box.parentElement.hidden = !(engine()?.capabilities?.references > 0);
  }
  say($("style-words"), words(style, can));
  const percent = Math.round(style.strength * 100);
  $("style-strength").value = String(percent);
  say($("style-percent"), `${percent} %`);
}

function words(style, can) {
  const light = lightOf(style);
  if (!light) return style.pictures.length ? "The pictures do not show from where their light comes." : "";
  const side = SIDES.find(([below]) => light.direction_deg < below)[1];
  return can.light ? `Light from ${side}: a cast shadow that follows the scene falls away from it.` : "";
}

function mood({ id, name }) {
  const at = () => own().pictures.findIndex((one) => one.id === id);
  const change_ = (fields) => set({ pictures: own().pictures.map((one, index) => (index === at() ? { ...one, ...fields } : one)) });
  const weight = h("select", { "aria-label": `Weight of ${name}`, title: "How much this picture counts", onchange: ({ target }) => change_({ weight: Number(target.value) }) }, ...WEIGHTS.map(([value, text]) => h("option", { value }, text)));
  return h(
    "li",
    { className: "mood" },
    h("img", { src: id.startsWith("im_") ? `/v1/images/${id}/thumbnail` : api.photoUrl(id), alt: name, title: name, loading: "lazy", decoding: "async" }),
    iconButton("close", `Remove ${name}`, () => set({ pictures: own().pictures.filter((one) => one.id !== id) }), "strip-remove"),
    weight,
  );
}

function swatch(at) {
  const keep = (colours) => set({ palette: colours }, "style-palette");
  if (at === "add") return h("button", { className: "swatch-add", title: "Add a colour", "aria-label": "Add a colour", onclick: () => keep([...coloursOf(own()), "#d8d2c8"]) }, "+");
  const edit = h("input", { type: "color", oninput: ({ target }) => keep(coloursOf(own()).map((colour, index) => (index === at ? target.value : colour))) });
  return h("span", { className: "swatch" }, edit, iconButton("close", "Remove the colour", () => keep(coloursOf(own()).filter((_, index) => index !== at)), "strip-remove"));
}

function paint(item, colour) {
  const edit = item.firstChild;
  if (edit !== document.activeElement) edit.value = colour;
  edit.setAttribute("aria-label", `Colour ${colour}`);
}

/** The style of a brief as the API takes it, or null. */
export function styleOf(brief) {
  const { style } = brief;
  if (!style) return null;
  const can = style.pictures.length && !style.found ? { palette: true, light: true, scene: canLook(style) } : offered(style);
  const parts = PARTS.map(([name]) => name).filter((name) => can[name] && !style.off.includes(name));
  if (!parts.length) return null;
  return {
    ...(style.pictures.length ? { references: style.pictures.map(referenceOf) } : {}),
    ...(style.palette?.length ? { palette: style.palette } : {}), // the server finds the others itself
    ...(style.palette?.length && style.palette.length === style.found?.shares?.length ? { shares: style.found.shares } : {}),
    ...(style.light ? { light: style.light } : {}),
    strength: style.strength,
    ...(style.off.length ? { parts } : {}),
  };
}

/** The style of a brief from the server's: a shot's `style`, or a template. */
export function styleFrom(row) {
  const pictures = (row.references ?? []).map(({ photo_id: photo, image_id: image, weight }) => ({ id: photo ?? image, name: "Mood picture", weight }));
  const style = { ...fresh(), pictures, palette: row.palette?.length ? [...row.palette] : null, light: row.light ?? null, strength: row.strength ?? STRENGTH };
  if (row.parts) style.off = PARTS.map(([name]) => name).filter((name) => !row.parts.includes(name));
  return isEmpty(style) ? null : style;
}

/** What a template keeps of the brief's style. */
export function templateFields({ style }) {
  if (!style) return {};
  return { references: style.pictures.map(referenceOf), palette: coloursOf(style), light: lightOf(style) };
}
