// What Review needs of the server: the pictures that wait, and for each its log, its layers' photos and its decoded pixels.

import { call, json, photoUrl } from "./api.js";
import { maskFacts, photoFacts } from "./lists.js";

const PAGE = 100;
const KEPT = 12; // decoded pictures that stay in memory

export const DECIDED = ["approved", "changes_requested"];

/** A page of pictures, newest shot first: {items, cursor}. `review` is none, approved, rejected or "". */
export async function page({ review, cursor = "", filters = {} }) {
  const given = Object.entries({ status: "done", limit: PAGE, review, cursor, ...filters }).filter(([, value]) => value);
  const found = await json(call("GET", `/v1/shots?${new URLSearchParams(given)}`));
  const items = found.shots.flatMap((shot) => shot.images.filter((image) => wanted(image, review)).map((image) => ({ image, shot, state: image.review_state })));
  return { items, cursor: found.next_cursor };
}

function wanted(image, review) {
  if (image.superseded_by) return false;
  return review === "none" ? !DECIDED.includes(image.review_state) : !review || image.review === review;
}

/** The log, with the tag of the state: {tag, state, reviews}. */
export async function logOf({ image }) {
  const answer = await call("GET", `${image.url}/reviews`, { cache: "no-store" });
  return { tag: answer.headers.get("etag"), ...(await answer.json()) };
}

/** Send a decision for the state that `tag` names. Returns the new tag. Throws Problem `version_changed`. */
export async function decide({ image }, tag, body) {
  const answer = await call("POST", `${image.url}/reviews`, { json: body, headers: tag ? { "if-match": tag } : {} });
  return answer.headers.get("etag");
}

export const redo = ({ image }, key) => json(call("POST", `${image.url}/redo`, { json: {}, headers: { "idempotency-key": key } }));

const layers = new Map(); // mask id -> promise of {photo, bbox, cutout}

function placeOf(maskId) {
  if (!layers.has(maskId)) {
    const found = maskFacts(maskId).then(async (mask) => {
      const [x0, y0, x1, y1] = mask.cutout_bbox;
      return { bbox: mask.cutout_bbox, cutout: { width: x1 - x0, height: y1 - y0 }, photo: await photoFacts(mask.photo_id) };
    });
    layers.set(maskId, found.catch(() => null)); // deleted: the picture is then reviewed without its master
  }
  return layers.get(maskId);
}

/** The layers of a picture whose photos still exist, each with `photo`, `bbox` and `cutout`, front one last. */
export async function layersOf({ shot }) {
  if (shot.request.product) return viewsOf(shot.request);
  const found = await Promise.all(shot.request.layers.map(async (layer) => ({ ...layer, ...(await placeOf(layer.mask_id)) })));
  return found.filter(({ photo }) => photo);
}

/** The photos of a painted product that are left, each as large as the canvas: nobody knows where the product stands. */
async function viewsOf({ product, canvas }) {
  const photos = await Promise.all(product.views.map((id) => photoFacts(id).catch(() => null)));
  return photos.filter(Boolean).map((photo) => {
    const { width, height } = photo;
    const scale = (Math.min(canvas.width / width, canvas.height / height) * Math.max(width, height)) / Math.max(canvas.width, canvas.height);
    return { x: 0.5, y: 0.5, scale, rotation_deg: 0, flip: false, photo, bbox: [0, 0, width, height], cutout: { width, height }, isView: true };
  });
}

const pixels = new Map(); // url -> promise of a decoded <img>

/** A decoded <img>. The last ones are kept, so that one that was fetched ahead shows at once. */
export function decoded(url) {
  const known = pixels.get(url);
  pixels.delete(url);
  const image = known ?? load(url);
  pixels.set(url, image);
  image.catch(() => pixels.delete(url));
  for (const old of [...pixels.keys()].slice(0, Math.max(0, pixels.size - KEPT))) pixels.delete(old);
  return image;
}

async function load(url) {
  const image = new Image();
  image.draggable = false;
  image.src = url;
  await image.decode();
  return image;
}

export const masterOf = (layer) => decoded(photoUrl(layer.photo.id));
