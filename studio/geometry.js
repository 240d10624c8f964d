// Pure geometry, without DOM or state. Canvas pixels, top-left origin, x right, y down, angles clockwise in degrees.
// A layer is {x, y, scale, rotation_deg, flip, cutout: {width, height}}: the API's, and the cutout's size in pixels.

export const roundHalfUp = (value) => Math.floor(value + 0.5);
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** {width, height} of a layer before rotation, in whole canvas pixels, by the server's rule. */
export function layerSize(layer, canvas) {
  const { width, height } = layer.cutout;
  const longerSide = Math.max(width, height);
  const longer = roundHalfUp(layer.scale * Math.max(canvas.width, canvas.height));
  if (longer === longerSide) return { width, height };
  return { width: roundHalfUp((width * longer) / longerSide), height: roundHalfUp((height * longer) / longerSide) };
}

/** The scale at which the cutout's pixels are copied one to one. */
export function oneToOne(layer, canvas) {
  return Math.max(layer.cutout.width, layer.cutout.height) / Math.max(canvas.width, canvas.height);
}

export function centre(layer, canvas) {
  return { x: layer.x * canvas.width, y: layer.y * canvas.height };
}

/** {x0, y0, x1, y1}: the axis-aligned box around the rotated layer, not rounded. */
export function bounds(layer, canvas) {
  const { width, height } = layerSize(layer, canvas);
  const at = centre(layer, canvas);
  const turn = (layer.rotation_deg * Math.PI) / 180;
  const [sine, cosine] = [Math.abs(Math.sin(turn)), Math.abs(Math.cos(turn))];
  const [halfX, halfY] = [(width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2];
  return { x0: at.x - halfX, y0: at.y - halfY, x1: at.x + halfX, y1: at.y + halfY };
}

/** A canvas point in the layer's axes, relative to its centre. */
function inLayer(layer, canvas, point) {
  const at = centre(layer, canvas);
  const turn = (-layer.rotation_deg * Math.PI) / 180;
  const [dx, dy] = [point.x - at.x, point.y - at.y];
  return { x: dx * Math.cos(turn) - dy * Math.sin(turn), y: dx * Math.sin(turn) + dy * Math.cos(turn) };
}

/** Index of the topmost layer under a canvas point, -1 for none. */
export function layerAt(layers, canvas, point) {
  for (let index = layers.length - 1; index >= 0; index -= 1) {
    const { width, height } = layerSize(layers[index], canvas);
    const own = inLayer(layers[index], canvas, point);
    if (Math.abs(own.x) <= width / 2 && Math.abs(own.y) <= height / 2) return index;
  }
  return -1;
}

export const MARGIN = 0.06; // of the shorter side
export const BASELINE = 0.82; // of the height: where the first product stands

/**
 * Snap a moved layer: its centre to the canvas's centre, its edges to the margins, its foot to the baseline or to another
 * layer's foot, within `reach` pixels. Returns {x, y, guides: [{axis, at}]}.
 */
export function snapped(layer, others, canvas, reach) {
  const box = bounds(layer, canvas);
  const at = centre(layer, canvas);
  const margin = MARGIN * Math.min(canvas.width, canvas.height);
  const across = [
    [at.x, canvas.width / 2],
    [box.x0, margin],
    [box.x1, canvas.width - margin],
    ...others.map((other) => [at.x, other.x * canvas.width]),
  ];
  const along = [
    [at.y, canvas.height / 2],
    [box.y0, margin],
    [box.y1, canvas.height - margin],
    [box.y1, canvas.height * BASELINE],
    ...others.map((other) => [box.y1, bounds(other, canvas).y1]),
  ];
  const [left, top] = [nearest(across, reach), nearest(along, reach)];
  const guides = [];
  if (left) guides.push({ axis: "x", at: left.to });
  if (top) guides.push({ axis: "y", at: top.to });
  return {
    x: layer.x + (left ? left.by / canvas.width : 0),
    y: layer.y + (top ? top.by / canvas.height : 0),
    guides,
  };
}

function nearest(pairs, reach) {
  let best = null;
  for (const [from, to] of pairs) {
    const by = to - from;
    if (Math.abs(by) <= reach && (!best || Math.abs(by) < Math.abs(best.by))) best = { by, to };
  }
  return best;
}

/** The scale after a corner was dragged between two points in canvas pixels. */
export function scaledBy(layer, canvas, from, to) {
  const at = centre(layer, canvas);
  const before = Math.hypot(from.x - at.x, from.y - at.y);
  const after = Math.hypot(to.x - at.x, to.y - at.y);
  return clamp(before > 0 ? (layer.scale * after) / before : layer.scale, 0.01, 4);
}

/** The rotation after the handle was dragged between two points; a multiple of `step`, if given. */
export function turnedBy(layer, canvas, from, to, step = 0) {
  const at = centre(layer, canvas);
  const angle = (point) => (Math.atan2(point.y - at.y, point.x - at.x) * 180) / Math.PI;
  return uprightAngle(layer.rotation_deg + angle(to) - angle(from), step);
}

/** An angle in (-180, 180], rounded to a tenth of a degree or to a multiple of `step`. */
export function uprightAngle(degrees, step = 0) {
  const even = step ? Math.round(degrees / step) * step : Math.round(degrees * 10) / 10;
  const turned = ((((even + 180) % 360) + 360) % 360) - 180;
  return turned === -180 ? 180 : Math.round(turned * 10) / 10;
}

/** Screen pixels per content pixel at which the whole content fits. */
export function fitScale(content, room) {
  return Math.min(room.width / content.width, room.height / content.height);
}

/** {zoom, x, y} after zooming by `factor` around a point of the room. x, y: the content's corner in the room. */
export function zoomedAt(view, factor, point, most = 16) {
  const zoom = clamp(view.zoom * factor, 1, most);
  const by = zoom / view.zoom;
  return { zoom, x: point.x - (point.x - view.x) * by, y: point.y - (point.y - view.y) * by };
}

/** The view, clamped: content smaller than the room is centred, larger content leaves no gaps. */
export function keptInSight(view, size, room) {
  const along = (at, length, space) => (length <= space ? (space - length) / 2 : clamp(at, space - length, 0));
  return { zoom: view.zoom, x: along(view.x, size.width, room.width), y: along(view.y, size.height, room.height) };
}

/** [x0, y0, x1, y1] of two opposite corners: whole pixels inside the photo, right and bottom exclusive. */
export function boxOf(a, b, photo) {
  return [
    clamp(Math.floor(Math.min(a.x, b.x)), 0, photo.width - 1),
    clamp(Math.floor(Math.min(a.y, b.y)), 0, photo.height - 1),
    clamp(Math.ceil(Math.max(a.x, b.x)), 1, photo.width),
    clamp(Math.ceil(Math.max(a.y, b.y)), 1, photo.height),
  ];
}

/**
 * The photo's place on the canvas when its product is where the layer is, for the compare slider. `bbox` is the
 * cutout's place in the photo. Returns the photo's centre in canvas pixels and its scale factor.
 */
export function photoUnder(layer, bbox, photo, canvas) {
  const factor = Math.max(...Object.values(layerSize(layer, canvas))) / Math.max(layer.cutout.width, layer.cutout.height);
  const at = centre(layer, canvas);
  const side = layer.flip ? -1 : 1;
  const dx = (photo.width / 2 - (bbox[0] + bbox[2]) / 2) * factor * side;
  const dy = (photo.height / 2 - (bbox[1] + bbox[3]) / 2) * factor;
  const turn = (layer.rotation_deg * Math.PI) / 180;
  return {
    x: at.x + dx * Math.cos(turn) - dy * Math.sin(turn),
    y: at.y + dx * Math.sin(turn) + dy * Math.cos(turn),
    factor,
  };
}
