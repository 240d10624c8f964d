// The selected layer's outline and its handles. Handles outside of the visible room are drawn at its edge, so that a
// layer that was pushed off the canvas can still be scaled and turned.

import { layerSize } from "./geometry.js";
import { $ } from "./widgets.js";

const INSET_PX = 12; // from the edge of the room
const APART_PX = 30; // two handles are never nearer, when one of them was moved
const STEM_PX = 26; // from the upper edge to the handle that turns

/**
 * Draw them. `k` is screen pixels per canvas pixel. `room` is the visible room and `bar` what lies in its lower right
 * corner, {x0, y0, x1, y1} in screen pixels from the canvas's corner. No layer hides the handles.
 */
export function drawHandles(layer, canvas, k, room, bar) {
  const outline = $("handles");
  outline.hidden = $("grips").hidden = !layer;
  if (!layer) return;
  const size = layerSize(layer, canvas);
  const [width, height] = [size.width * k, size.height * k];
  if (outline.dataset.size !== `${width} ${height}`) {
    outline.dataset.size = `${width} ${height}`;
    Object.assign(outline.style, { width: `${width}px`, height: `${height}px` });
  }
  const at = { x: layer.x * canvas.width * k, y: layer.y * canvas.height * k };
  outline.style.transform = `translate(${at.x}px, ${at.y}px) rotate(${layer.rotation_deg}deg) translate(-50%, -50%)`;
  const turn = (layer.rotation_deg * Math.PI) / 180;
  const corner = (x, y) => ({ x: at.x + x * Math.cos(turn) - y * Math.sin(turn), y: at.y + x * Math.sin(turn) + y * Math.cos(turn) });
  const [across, along] = [width / 2, height / 2];
  const places = [corner(-across, -along), corner(across, -along), corner(-across, along), corner(across, along), corner(0, -along - STEM_PX)];
  within(places, room, bar).forEach(({ x, y }, index) => {
    $("grips").children[index].style.transform = `translate(${x}px, ${y}px)`;
  });
}

/** The places, each moved into the room if it is outside of it, off the bar in its corner, and away from the others. */
export function within(places, room, bar) {
  const low = { x: room.x0 + INSET_PX, y: room.y0 + INSET_PX };
  const high = { x: Math.max(low.x, room.x1 - INSET_PX), y: Math.max(low.y, room.y1 - INSET_PX) };
  const middle = { x: (low.x + high.x) / 2, y: (low.y + high.y) / 2 };
  const inside = ({ x, y }) => ({ x: Math.min(high.x, Math.max(low.x, x)), y: Math.min(high.y, Math.max(low.y, y)) });
  const shown = [];
  for (const place of places) {
    const at = inside(place);
    if (at.x > bar.x0 - INSET_PX && at.y > bar.y0 - INSET_PX) at.y = bar.y0 - INSET_PX;
    const moved = at.x !== place.x || at.y !== place.y;
    const step = Math.abs(at.x - place.x) > Math.abs(at.y - place.y) ? { x: 0, y: at.y < middle.y ? 1 : -1 } : { x: at.x < middle.x ? 1 : -1, y: 0 };
    for (let tries = 0; moved && tries < 5 && shown.some((other) => Math.hypot(other.x - at.x, other.y - at.y) < APART_PX); tries += 1) {
      at.x += APART_PX * step.x;
      at.y += APART_PX * step.y;
    }
    shown.push(at);
  }
  return shown;
}
