// The sizes of photos that are files of this device, read from their headers: nothing is decoded, and little is read.

const HEAD_BYTES = 64 * 1024;
const AT_ONCE = 8;
const MOST_SEGMENTS = 64; // of a JPEG before its size

/** {path: [width, height] or null} of a Map of path -> File, as the API's part `photos` takes it. */
export async function sizesOf(files) {
  const found = Object.fromEntries([...files.keys()].map((path) => [path, null]));
  const waiting = [...files];
  const work = async () => {
    while (waiting.length) {
      const [path, file] = waiting.pop();
      found[path] = await sizeOf(file).catch(() => null); // a file that cannot be read, or no photo: the server says
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return found;
}

const bytes = async (file, from, length) => new DataView(await file.slice(from, from + length).arrayBuffer());
const named = (view, at, name) => [...name].every((sign, index) => view.getUint8(at + index) === sign.charCodeAt(0));

/** [width, height] of a PNG, a GIF, a WebP or a JPEG; null of another file. Throws a RangeError for a file that ends early. */
async function sizeOf(file) {
  const view = await bytes(file, 0, HEAD_BYTES);
  if (named(view, 1, "PNG")) return [view.getUint32(16), view.getUint32(20)];
  if (named(view, 0, "GIF8")) return [view.getUint16(6, true), view.getUint16(8, true)];
  if (named(view, 0, "RIFF") && named(view, 8, "WEBP")) return ofWebp(view);
  return view.getUint16(0) === 0xffd8 ? ofJpeg(file, view) : null;
}

function ofWebp(view) {
  if (named(view, 12, "VP8X")) return [24, 27].map((at) => 1 + view.getUint16(at, true) + (view.getUint8(at + 2) << 16));
  if (named(view, 12, "VP8L")) {
    const bits = view.getUint32(21, true);
    return [1 + (bits & 0x3fff), 1 + ((bits >>> 14) & 0x3fff)];
  }
  return [26, 28].map((at) => view.getUint16(at, true) & 0x3fff);
}

/** Walk the segments to the frame's header. A camera's thumbnail or a colour profile may put it far into the file. */
async function ofJpeg(file, head) {
  for (let at = 2, count = 0; count < MOST_SEGMENTS; count += 1) {
    const view = at + 9 <= head.byteLength ? new DataView(head.buffer, at, 9) : await bytes(file, at, 9);
    const marker = view.getUint8(1);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return [view.getUint16(7), view.getUint16(5)];
    at += 2 + view.getUint16(2);
  }
  return null;
}
