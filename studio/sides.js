// Variants side by side: up to four pictures at one zoom. The chosen picture is one of them; a press on another one in the
// gallery puts it into the chosen one's place.

import { $, h, iconButton, keyed, say } from "./widgets.js";
import { Zoom } from "./zoom.js";

const MOST = 4;

let ids = []; // of the images, in order
let before = null; // the chosen picture of the last call
let is = false;
let on; // the listeners
const zooms = new Map(); // image id -> its Zoom

/** `listeners`: choose(image) makes a picture the chosen one, review(image, wanted), changed() after a switch. */
export function open(listeners) {
  on = listeners;
  $("side-by-side").addEventListener("click", () => turn(!is));
  $("sides").addEventListener("keydown", (event) => event.key === "Escape" && turn(false));
}

export const isOn = () => is;

function turn(to) {
  is = to;
  ids = [];
  zooms.clear();
  $("sides").replaceChildren();
  on.changed();
}

/** Show the pictures beside the chosen one. `all` are the open project's results, newest first. */
export function show(chosen, all) {
  $("side-by-side").setAttribute("aria-pressed", String(is));
  $("side-by-side").disabled = !is && all.length < 2;
  $("sides").hidden = !is;
  $("figure-room").hidden = $("compare-row").hidden = is;
  if (!is) return;
  const of = (id) => all.find(({ image }) => image.id === id);
  if (!ids.length) ids = picked(chosen, all);
  else if (!ids.includes(chosen.image.id)) ids = ids.map((id) => (id === before ? chosen.image.id : id));
  ids = ids.filter(of);
  if (!ids.includes(chosen.image.id)) ids = [chosen.image.id, ...ids].slice(0, MOST);
  before = chosen.image.id;
  $("sides").dataset.count = String(ids.length);
  keyed($("sides"), ids.map(of), ({ image }) => image.id, cell, (item, { image }) => showCell(item, image, image.id === chosen.image.id));
  for (const id of [...zooms.keys()]) if (!ids.includes(id)) zooms.delete(id);
}

/** The chosen picture's own shot, and then the newest others of the same shape. */
function picked({ image, entry }, all) {
  const alike = all.filter((one) => one.image.width * image.height === one.image.height * image.width);
  const own = alike.filter((one) => one.entry.key === entry.key).reverse();
  const others = alike.filter((one) => one.entry.key !== entry.key);
  const first = [image.id, ...[...own, ...others].map((one) => one.image.id)];
  const kept = new Set([...new Set(first)].slice(0, MOST));
  return all.map((one) => one.image.id).filter((id) => kept.has(id)).reverse(); // in the order of their numbers
}

function cell({ image }) {
  const picture = h("img", { src: image.url, alt: `Picture ${image.number}, beside others`, draggable: false });
  const content = h("div", { className: "side-content" }, picture);
  const room = h("div", { className: "side-room", tabIndex: -1 }, content);
  const choose = h("button", { className: "small side-choose", onclick: () => on.choose(image) }, `Picture ${image.number}`);
  const decide = (name, label, wanted) => iconButton(name, `${label} picture ${image.number}`, () => (on.choose(image), on.review(wanted)), `ghost icon-only decide ${wanted === "approved" ? "good" : "bad"}`);
  const item = h("li", { className: "side-cell" }, room, h("div", { className: "row side-words" }, choose, h("span", { className: "quiet" }), decide("check", "Approve", "approved"), decide("close", "Reject", "rejected")));
  const zoom = new Zoom(room, content, () => together(zoom));
  zooms.set(image.id, zoom);
  zoom.open({ width: image.width, height: image.height });
  room.addEventListener("pointerdown", (event) => pan(event, room, zoom, image));
  return item;
}

function showCell(item, image, chosen) {
  item.classList.toggle("on", chosen);
  const [choose, words, good, bad] = item.lastChild.children;
  choose.setAttribute("aria-pressed", String(chosen));
  say(words, `Seed ${image.seed}`);
  good.setAttribute("aria-pressed", String(image.review === "approved"));
  bad.setAttribute("aria-pressed", String(image.review === "rejected"));
}

/** Give every picture the view of the one that was zoomed or moved, as a share of its room. */
function together(source) {
  for (const zoom of zooms.values()) {
    if (zoom === source || !zoom.room.clientWidth) continue;
    const [across, along] = [zoom.room.clientWidth / source.room.clientWidth, zoom.room.clientHeight / source.room.clientHeight];
    const view = { zoom: source.view.zoom, x: source.view.x * across, y: source.view.y * along };
    if (Math.abs(view.x - zoom.view.x) + Math.abs(view.y - zoom.view.y) + Math.abs(view.zoom - zoom.view.zoom) < 0.5) continue;
    zoom.view = view;
    zoom.lay();
  }
}

/** A drag moves all pictures, a press without one chooses this one. */
function pan(event, room, zoom, image) {
  if (event.button !== 0) return;
  event.preventDefault();
  room.setPointerCapture(event.pointerId);
  let [last, far] = [event, 0];
  const move = (next) => {
    far += Math.hypot(next.clientX - last.clientX, next.clientY - last.clientY);
    zoom.pan(next.clientX - last.clientX, next.clientY - last.clientY);
    last = next;
  };
  room.addEventListener("pointermove", move);
  const end = () => {
    room.removeEventListener("pointermove", move);
    if (far < 4) on.choose(image);
  };
  room.addEventListener("pointerup", end, { once: true });
  room.addEventListener("pointercancel", () => room.removeEventListener("pointermove", move), { once: true });
}
