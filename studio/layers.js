// The list of layers, front first: choose, hide, lock, and drag to another place. place.js owns the selected layer's fields.

import { clamp } from "./geometry.js";
import { previewOf } from "./previews.js";
import { change, desk } from "./store.js";
import { $, h, icon, iconButton, keyed, say } from "./widgets.js";

const THUMB_PX = 80;

let status = () => {};

/** `tell(text)` sets the status line. */
export function open(tell) {
  status = tell;
}

export const titled = (layer) => `${layer.name}${numbered(layer)}`;

/** "", or a number such as " 2" when several layers have the same name. */
function numbered(layer) {
  const alike = desk.layers.filter((one) => one.name === layer.name);
  return alike.length > 1 ? ` ${alike.indexOf(layer) + 1}` : "";
}

export function show() {
  keyed($("layers"), [...desk.layers].reverse(), (layer) => layer.key, row, showRow);
}

/** Move a layer to a place in the painting order; 0 is the back. */
export function moveTo(key, place) {
  change(
    (now) => {
      const at = now.layers.findIndex((one) => one.key === key);
      now.layers.splice(clamp(place, 0, now.layers.length - 1), 0, ...now.layers.splice(at, 1));
    },
    { layout: true },
  );
}

function row({ key }) {
  const layerOf = () => desk.layers.find((one) => one.key === key);
  const pick = () => change((now) => (now.selected = key));
  const flip = (name, words) => () => {
    change((now) => ((one) => (one[name] = !one[name]))(now.layers.find((one) => one.key === key)), { layout: true });
    status(`${titled(layerOf())} is ${layerOf()[name] ? words[0] : words[1]}.`);
  };
  const item = h(
    "li",
    {},
    h("span", { className: "grip", "aria-hidden": "true", title: "Drag to change the order" }),
    h("button", { className: "layer-item", onclick: pick }, h("canvas", { "aria-hidden": "true", width: THUMB_PX, height: THUMB_PX }), h("span", {})),
    iconButton("eye", "Hide", flip("hidden", ["hidden: it is not painted", "shown again"]), "ghost icon-only layer-eye"),
    iconButton("lock", "Lock", flip("locked", ["locked: it stays where it is", "unlocked"]), "ghost icon-only layer-lock"),
  );
  item.firstChild.addEventListener("pointerdown", (event) => drag(event, item, key));
  return item;
}

function showRow(item, layer) {
  const [, button, eye, lock] = item.children;
  item.classList.toggle("on", layer.key === desk.selected);
  item.classList.toggle("off", Boolean(layer.hidden));
  button.setAttribute("aria-pressed", String(layer.key === desk.selected));
  say(button.lastChild, titled(layer));
  toggle(eye, layer.hidden, "eye", "closed-eye", `Hide ${titled(layer)}`);
  toggle(lock, layer.locked, "unlock", "lock", `Lock ${titled(layer)}`);
  const preview = previewOf(layer.mask_id);
  if (!preview.bitmap || button.dataset.shown === layer.mask_id) return;
  button.dataset.shown = layer.mask_id;
  const factor = THUMB_PX / Math.max(preview.bitmap.width, preview.bitmap.height);
  const [width, height] = [preview.bitmap.width * factor, preview.bitmap.height * factor];
  const pen = button.firstChild.getContext("2d");
  pen.clearRect(0, 0, THUMB_PX, THUMB_PX);
  pen.drawImage(preview.bitmap, (THUMB_PX - width) / 2, (THUMB_PX - height) / 2, width, height);
}

function toggle(button, is, off, on, label) {
  const wanted = is ? on : off;
  button.setAttribute("aria-pressed", String(Boolean(is)));
  if (button.title !== label) for (const name of ["title", "aria-label"]) button.setAttribute(name, label);
  if (button.dataset.shown === wanted) return;
  button.dataset.shown = wanted;
  button.replaceChildren(icon(wanted));
}

/** Drag a row by its grip. The others make room; the order changes when it is dropped. */
function drag(event, item, key) {
  if (event.button !== 0) return;
  event.preventDefault();
  const rows = [...$("layers").children];
  const from = rows.indexOf(item);
  const pitch = rows.length > 1 ? Math.abs(rows[1].offsetTop - rows[0].offsetTop) : 1;
  let to = from;
  item.classList.add("dragged");
  event.target.setPointerCapture(event.pointerId);
  const move = (next) => {
    const by = clamp(next.clientY - event.clientY, -from * pitch, (rows.length - 1 - from) * pitch);
    to = from + Math.round(by / pitch);
    rows.forEach((other, index) => {
      const between = index > from ? index <= to : index >= to && index < from;
      other.style.translate = other === item ? `0 ${by}px` : between ? `0 ${index > from ? -pitch : pitch}px` : "";
    });
  };
  const end = (next) => {
    for (const name of ["pointermove", "pointerup", "pointercancel"]) event.target.removeEventListener(name, name === "pointermove" ? move : end);
    for (const other of rows) other.style.translate = "";
    item.classList.remove("dragged");
    if (next.type === "pointerup" && to !== from) moveTo(key, rows.length - 1 - to);
  };
  event.target.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) event.target.addEventListener(name, end);
}
