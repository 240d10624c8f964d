// The starter scenes, and the plain vase around which the pack paints their thumbnails.

export const STARTERS = [
  { name: "Marble, soft morning", prompt: "on a marble table, soft white curtain behind, soft warm morning light" },
  { name: "Oak and garden", prompt: "on a light oak table, blurred green garden behind, bright daylight" },
  { name: "Dark wood, moody", prompt: "on a dark wooden table, blurred city lights at night behind, dark and moody" },
  { name: "Linen by the window", prompt: "on draped beige linen, bright window behind, soft light from the left" },
  { name: "Concrete studio", prompt: "on grey concrete, grey studio backdrop, cool neutral light" },
  { name: "Sand and sea", prompt: "on golden sand, blue sea and sky behind, golden sunset light" },
];

const PX = 480;

/** A matt white vase on a transparent ground, as a PNG file. */
export function samplePhoto() {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: PX, height: PX });
  const pen = canvas.getContext("2d");
  const shape = new Path2D("M206 60 C206 120 220 130 204 168 C176 226 140 262 140 326 C140 396 178 424 240 424 C302 424 340 396 340 326 C340 262 304 226 276 168 C260 130 274 120 274 60 Z");
  const across = pen.createLinearGradient(140, 0, 340, 0);
  for (const [at, grey] of [[0, 176], [0.28, 244], [0.5, 236], [0.8, 190], [1, 150]]) across.addColorStop(at, `rgb(${grey} ${grey - 3} ${grey - 8})`);
  pen.fillStyle = across;
  pen.fill(shape);
  pen.globalCompositeOperation = "source-atop";
  const down = pen.createLinearGradient(0, 330, 0, 424);
  down.addColorStop(0, "rgb(40 36 30 / 0)");
  down.addColorStop(1, "rgb(40 36 30 / 0.38)");
  pen.fillStyle = down;
  pen.fillRect(0, 0, PX, PX);
  pen.fillStyle = "rgb(60 54 46 / 0.75)";
  pen.beginPath();
  pen.ellipse(240, 62, 34, 9, 0, 0, 2 * Math.PI);
  pen.fill();
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(new File([blob], "plain-vase.png", { type: "image/png" })), "image/png"));
}
