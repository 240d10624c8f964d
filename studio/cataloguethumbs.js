// Small pictures of photos that are files of this device. They are decoded one by one, when they come into view.

import { h, icon } from "./widgets.js";

const SIZE_PX = 88;
const waiting = [];
let busy = false;
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    waiting.push(target);
  }
  work();
});
const sources = new WeakMap(); // canvas -> File

async function work() {
  if (busy) return;
  busy = true;
  while (waiting.length) {
    const canvas = waiting.shift();
    if (!canvas.isConnected) continue;
    try {
      const whole = await createImageBitmap(sources.get(canvas));
      const factor = Math.max(SIZE_PX / whole.width, SIZE_PX / whole.height);
      const [width, height] = [whole.width * factor, whole.height * factor];
      canvas.getContext("2d").drawImage(whole, (SIZE_PX - width) / 2, (SIZE_PX - height) / 2, width, height);
      whole.close();
    } catch {
      canvas.replaceWith(blank()); // HEIC, or damaged: the server says
    }
  }
  busy = false;
}

const blank = () => h("span", { className: "thumb blank" }, icon("sheet"));

/** A thumbnail of a file, or an empty frame without one. */
export function thumbnail(file, name) {
  if (!file) return blank();
  const canvas = h("canvas", { className: "thumb", width: SIZE_PX, height: SIZE_PX, role: "img", "aria-label": name });
  sources.set(canvas, file);
  seen.observe(canvas);
  return canvas;
}
