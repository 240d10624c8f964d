// What a person drops: a folder or files, with a manifest, a sheet, or photos alone.

const MANIFESTS = { yaml: "application/yaml", yml: "application/yaml", json: "application/json", csv: "text/csv" };
const PHOTOS = new Set(["jpg", "jpeg", "png", "webp", "avif", "heic", "heif", "tif", "tiff", "gif"]);
const LOOKS = new Set(["look.yaml", "look.yml", "look.json"]);
const NAMED = ["catalogue.yaml", "catalogue.yml", "catalogue.json", "catalogue.csv"];

const endingOf = (path) => path.slice(path.lastIndexOf(".") + 1).toLowerCase();
export const isPhoto = (path) => PHOTOS.has(endingOf(path));
const byName = (a, b) => a.localeCompare(b, undefined, { numeric: true });

/** The files of a drop with their paths: Map of path -> File. Folders are read whole. */
export async function dropped(items) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = new Map();
  const walk = async (entry) => {
    if (entry.isFile) {
      found.set(entry.fullPath.slice(1), await new Promise((resolve, reject) => entry.file(resolve, reject)));
      return;
    }
    const reader = entry.createReader();
    for (let more = [null]; more.length; ) {
      more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
      for (const one of more) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return inOneFolder(found);
}

/** The files of an input: Map of path -> File. */
export const picked = (files) => inOneFolder(new Map([...files].map((file) => [file.webkitRelativePath || file.name, file])));

/** Paths begin inside of the one folder around all of them, and hidden files are left out. */
function inOneFolder(files) {
  const paths = [...files.keys()].filter((path) => !path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX"));
  const first = paths[0]?.split("/")[0];
  const around = paths.length && paths.every((path) => path.startsWith(`${first}/`)) ? first.length + 1 : 0;
  return new Map(paths.sort(byName).map((path) => [path.slice(around).normalize("NFC"), files.get(path)]));
}

/** The manifest among files: {path, type, look}; null for photos alone. `look` is a sheet's look. */
export function manifestOf(files) {
  const top = [...files.keys()].filter((path) => !path.includes("/") && MANIFESTS[endingOf(path)] && !LOOKS.has(path.toLowerCase()));
  const path = NAMED.find((name) => top.includes(name)) ?? top[0];
  if (!path) return null;
  const look = [...files.keys()].find((name) => LOOKS.has(name.toLowerCase()));
  return { path, type: MANIFESTS[endingOf(path)], look: look ? files.get(look) : null };
}

/** A sheet that names each photo by its file. */
export function sheetOf(files) {
  const photos = [...files.keys()].filter(isPhoto);
  const lines = photos.map((path) => [path.split("/").at(-1).replace(/\.[^.]+$/, ""), path].map(cell).join(","));
  return `sku,photo\r\n${lines.join("\r\n")}\r\n`;
}

const cell = (text) => (/[",;\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** The rows of a sheet for the table, [{row, sku, photo}]: as the server numbers them. The server alone judges it. */
export function rowsOfSheet(text) {
  const [head = [], ...lines] = parsed(text.replace(/^\ufeff/, ""));
  const names = head.map((name) => name.trim().toLowerCase());
  const at = { sku: names.indexOf("sku"), photo: names.indexOf("photo") };
  return lines.map((cells, index) => ({ row: index + 2, sku: cells[at.sku]?.trim() ?? "", photo: cells[at.photo]?.trim() ?? "" })).filter(({ sku, photo }) => sku || photo);
}

function parsed(text) {
  const first = text.slice(0, text.indexOf("\n") + 1 || undefined);
  const mark = [",", ";", "\t"].map((one) => [first.split(one).length, one]).sort((a, b) => b[0] - a[0])[0][1];
  const lines = [];
  let [cells, value, quoted] = [[], "", false];
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (quoted && sign === '"' && text[at + 1] === '"') value += text[(at += 1)];
    else if (sign === '"' && (quoted || !value)) quoted = !quoted;
    else if (!quoted && sign === mark) cells.push(value), (value = "");
    else if (!quoted && sign === "\n") lines.push([...cells, value.replace(/\r$/, "")]), (cells = []), (value = "");
    else value += sign;
  }
  if (value || cells.length) lines.push([...cells, value]);
  return lines;
}

/** The rows of a manifest in JSON; none for YAML, which browsers do not read. */
export function rowsOfManifest(type, text) {
  if (type !== "application/json") return [];
  try {
    const { items = [] } = JSON.parse(text);
    return items.map((item, index) => ({ row: index + 1, sku: String(item?.sku ?? ""), photo: item?.photo ?? item?.photos?.[0]?.photo ?? "" }));
  } catch {
    return []; // the dry run says what is wrong
  }
}
