// Render: the engine paints the product too, by an adapter that knows it, such as from an angle that no photo shows.

import * as api from "./api.js";
import { change, desk } from "./store.js";
import { $, h, icon, keyed, say } from "./widgets.js";

const MOST = 8; // views that the API takes

/** Make the field, once, behind `before`. */
export function open(before) {
  const box = h("input", { id: "angle", type: "checkbox", "aria-describedby": "angle-words", onchange: ({ target }) => set(target.checked ? likely() : null) });
  before.after(
    h(
      "div",
      { id: "angle-row", className: "field" },
      h("label", { className: "check" }, box, "Paint the product too, from another angle"),
      h("p", { id: "angle-words", className: "quiet" }),
      h(
        "div",
        { id: "angle-more", className: "style-more" },
        h("p", { className: "note" }, "The engine invents this product. Such a picture is marked “product: generated”. It never passes as locked, and a person must approve it before it is delivered."),
        h("span", { id: "views-label", className: "label" }, "Photos of the product"),
        h("p", { className: "quiet" }, "Review shows them beside the picture. What stands under Place is not used."),
        h("div", { id: "views", className: "views", role: "group", "aria-labelledby": "views-label" }),
      ),
    ),
  );
}

const set = (views) => change((now) => (now.brief.views = views), { brief: true });

/** The photos on the canvas; without any, the open one. */
function likely() {
  const known = new Set(desk.photos.map(({ id }) => id));
  const placed = [...new Set(desk.layers.filter(({ hidden }) => !hidden).map(({ photo_id: id }) => id))].filter((id) => known.has(id));
  return (placed.length ? placed : [desk.photo ?? desk.photos.at(-1).id]).slice(0, MOST);
}

/** `chosen` are the adapters that are on, and `paints` says whether the next shot paints its product. */
export function show({ chosen, paints }) {
  const box = $("angle");
  box.checked = paints;
  box.disabled = !paints && (!chosen.length || !desk.photos.length || desk.background !== "generate");
  say($("angle-words"), hint(chosen, paints));
  $("angle-more").hidden = !paints;
  keyed($("views"), paints ? desk.photos : [], ({ id }) => id, view, (button, { id }) => {
    const on = desk.brief.views.includes(id);
    button.setAttribute("aria-pressed", String(on));
    button.disabled = on ? desk.brief.views.length === 1 : desk.brief.views.length >= MOST;
  });
}

function hint(chosen, paints) {
  if (!desk.photos.length) return "Add photos of the product under Cut first.";
  if (!chosen.length) return "Turn up the adapter that knows the product first. The page Trainings makes one from its pictures.";
  const missing = chosen.find(({ trigger }) => trigger && !desk.brief.prompt.toLowerCase().split(/[^\p{L}\p{N}]+/u).includes(trigger.toLowerCase()));
  if (paints && missing) return `Write ${missing.trigger} into the prompt, and say the angle: “${missing.trigger} seen from above”.`;
  return paints ? "Say the angle in the prompt, such as “seen from above”." : "";
}

function view({ id, name }) {
  const toggle = () => {
    const { views } = desk.brief;
    set(views.includes(id) ? views.filter((one) => one !== id) : [...views, id]);
  };
  return h("button", { type: "button", className: "view", title: name, "aria-label": name, onclick: toggle }, h("img", { src: api.photoUrl(id), alt: "", loading: "lazy", decoding: "async" }), icon("check"));
}
