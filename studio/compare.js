// The compare slider: the picture, and over its left part the original photo, aligned at the product.

import * as api from "./api.js";
import { clamp, layerSize, photoUnder } from "./geometry.js";
import { $ } from "./widgets.js";

let shown = null; // {image, canvas, layer}

export function open() {
  $("compare").addEventListener("input", wipe);
  const figure = $("figure");
  figure.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || $("compare").disabled) return;
    event.preventDefault();
    figure.setPointerCapture(event.pointerId);
    const follow = (next) => {
      const box = figure.getBoundingClientRect();
      $("compare").value = String(Math.round(clamp((100 * (next.clientX - box.left)) / box.width, 0, 100)));
      wipe();
    };
    const end = () => figure.removeEventListener("pointermove", follow);
    figure.addEventListener("pointermove", follow);
    figure.addEventListener("pointerup", end, { once: true });
    figure.addEventListener("pointercancel", end, { once: true });
  });
  new ResizeObserver(lay).observe($("figure-room"));
}

/** Show a finished picture. `made` is the desk from which it was made. */
export function compare(image, made) {
  const { canvas } = made;
  const area = (layer) => Object.values(layerSize(layer, canvas)).reduce((a, b) => a * b);
  const layer = [...made.layers].sort((a, b) => area(b) - area(a))[0];
  if (shown?.image.id !== image.id) $("compare").value = "0";
  shown = { image, canvas, layer };
  const picture = $("figure-picture");
  picture.alt = `Picture ${image.number}, large`;
  if (picture.getAttribute("src") !== image.url) picture.src = image.url;
  const original = $("figure-original");
  if (!layer?.photo_id) {
    $("compare").disabled = true; // a shot that was found on the server: its photo is not known
    original.removeAttribute("src");
    return lay();
  }
  const url = api.photoUrl(layer.photo_id);
  if (original.getAttribute("src") !== url) {
    $("compare").disabled = false;
    original.onerror = () => ($("compare").disabled = true); // the photo was deleted: nothing to compare with
    original.src = url;
  }
  lay();
}

function lay() {
  const room = $("figure-room");
  if (!shown || !room.clientWidth) return;
  const { canvas, layer } = shown;
  const k = Math.min(room.clientWidth / canvas.width, room.clientHeight / canvas.height);
  Object.assign($("figure").style, { width: `${canvas.width * k}px`, height: `${canvas.height * k}px` });
  if (!layer) return wipe(); // an engine painted the product: no photo lies under it
  const placed = photoUnder(layer, layer.bbox, layer.photo, canvas);
  const original = $("figure-original");
  Object.assign(original.style, { width: `${layer.photo.width}px`, height: `${layer.photo.height}px` });
  const factor = placed.factor * k;
  original.style.transform = `translate(${placed.x * k}px, ${placed.y * k}px) rotate(${layer.rotation_deg}deg) scale(${layer.flip ? -factor : factor}, ${factor}) translate(-50%, -50%)`;
  wipe();
}

function wipe() {
  const share = Number($("compare").value);
  $("figure-clip").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  $("figure-line").style.left = `${share}%`;
  $("figure").dataset.share = share > 0 ? "some" : "none";
  $("compare").setAttribute("aria-valuetext", `${share} % original photo`);
}
