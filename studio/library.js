// The search among all shots of the server, and the way of one of them into this browser's list.

import * as api from "./api.js";
import * as lists from "./lists.js";
import { desk, entry as entryOf, keep, nextNumber, shots } from "./store.js";
import { styleFrom } from "./style.js";
import { $, h, keyed, say, settled, sorry } from "./widgets.js";
import { ago, plain, plural, titleOf } from "./words.js";

let show = () => {};
let asked = 0; // the number of the last search; answers of earlier ones are late
let next = null; // the cursor of the next page
let found = [];

/** `pick(entry)` shows an entry's first picture. */
export function open(pick) {
  show = pick;
  const search = settled(250, () => ask());
  $("search").addEventListener("input", () => ($("search").value.trim() ? search() : clear()));
  $("search").addEventListener("keydown", (event) => event.key === "Escape" && (($("search").value = ""), clear()));
  $("search-more").addEventListener("click", () => ask(next));
}

/** Show this browser's own shots again. */
function clear() {
  asked += 1;
  found = [];
  $("found").replaceChildren();
  lay(false, "");
}

function lay(searching, words) {
  $("history").hidden = searching;
  $("found").hidden = $("search-words").hidden = !searching;
  $("search-more").hidden = !searching || next === null;
  say($("search-words"), words);
}

async function ask(cursor = null) {
  const words = $("search").value.trim();
  if (!words) return clear();
  const mine = (asked += 1);
  try {
    const page = await lists.search({ words, project: desk.project?.id, cursor: cursor ?? "" });
    if (mine !== asked) return;
    found = cursor ? [...found, ...page.shots] : page.shots;
    next = page.next_cursor;
    const where = desk.project ? ` in ${desk.project.name}` : "";
    lay(true, found.length ? `${plural(found.length, "shot")}${next ? " or more" : ""}${where}.` : `No shot${where} has these words in its prompt.`);
    keyed($("found"), found, ({ id }) => id, row);
  } catch (problem) {
    if (mine !== asked) return;
    if (!problem.code) throw problem;
    const { title, remedy } = plain(problem);
    lay(true, `${title} ${remedy}`);
  }
}

function row(shot) {
  const [first] = shot.images;
  const picture = first ? h("img", { src: api.thumbnailUrl(first), alt: "", loading: "lazy", decoding: "async" }) : h("span", { className: "found-none" });
  const facts = `${plural(shot.images.length, "picture")} · ${ago(Date.parse(shot.created_at))}`;
  return h("li", {}, h("button", { className: "found", onclick: () => bring(shot) }, picture, h("span", { className: "found-words" }, h("strong", {}, titleOf(shot.request)), h("span", { className: "quiet" }, facts))));
}

/** Put a shot of the server on this browser's list, unless it is there, and show it. */
async function bring(shot) {
  const known = shots().find(({ id }) => id === shot.id);
  if (known) return show(known);
  try {
    keep(await entryFrom(shot));
    show(entryOf(shot.id));
  } catch (problem) {
    sorry(problem);
  }
}

async function entryFrom(shot) {
  const { request } = shot;
  const first = nextNumber();
  const layers = await Promise.all(request.layers.map(layerFrom));
  const { canvas, background, prompt, negative_prompt: negative, images, seed, steps, guidance_scale: guidance, control_scale: control, sampler = null, conditions = [], shadow, reflection = null, relight = null, style = null, engine, adapters = [], product = null } = request;
  const brief = { prompt, negative_prompt: negative, images, seed, steps, guidance_scale: guidance, control_scale: control, sampler, conditions, shadow, reflection, relight, style: style && styleFrom(style), engine, adapters: adapters.map(({ id, scale }) => ({ id, scale })), views: product?.views ?? null };
  return {
    key: shot.id,
    id: shot.id,
    status: shot.status,
    request: { ...request, ...(shot.project_id ? { project_id: shot.project_id } : {}) },
    desk: { canvas, background, layers, brief },
    source: { name: "product", points: [], boxes: [], mask: layers[0]?.mask_id ?? null },
    position: 0,
    step: shot.step,
    steps: shot.steps,
    preview: 0,
    images: shot.images.map((image, index) => ({ ...image, number: first + index })),
    error: null,
    cancelling: false,
    created_at: Date.parse(shot.created_at),
    finished_at: Date.parse(shot.finished_at),
  };
}

/** A layer of the page, with its photo. One whose mask is gone keeps its place; Place then offers to remove it. */
async function layerFrom(layer, index) {
  const known = await lists.maskFacts(layer.mask_id).catch(() => null);
  const photo = known && (await lists.photoFacts(known.photo_id).catch(() => null));
  const [x0, y0, x1, y1] = known?.cutout_bbox ?? [0, 0, 1, 1];
  const size = { width: x1 - x0, height: y1 - y0 };
  return {
    ...layer,
    key: `${layer.mask_id}-${index}`,
    name: "Product",
    photo_id: photo?.id ?? null,
    photo: { name: "product", width: photo?.width ?? size.width, height: photo?.height ?? size.height },
    bbox: [x0, y0, x1, y1],
    cutout: size,
    points: [],
    boxes: [],
    candidate: 0,
  };
}
