// Review's two dialogs: the download of chosen pictures as one ZIP, and share links.

import * as api from "./api.js";
import { $, h, keyed, openDialog, say } from "./widgets.js";
import { plain, plural } from "./words.js";
import { zipped } from "./zip.js";

const AT_ONCE = 4;

let pictures = [];
let wired = false;

function wire() {
  if (wired) return;
  wired = true;
  $("zip-form").addEventListener("submit", (event) => (event.preventDefault(), download()));
  $("share-form").addEventListener("submit", (event) => (event.preventDefault(), makeLink()));
  $("share-copy").addEventListener("click", async () => {
    $("share-link").select();
    await navigator.clipboard?.writeText($("share-link").value).catch(() => {});
    say($("share-copy"), "Copied");
  });
}

let chosen = false;

const some = () => (chosen ? `${plural(pictures.length, "picture")} that you chose.` : "The open picture. The key X chooses several.");

/** Open the download of pictures. `picked`: the user chose them. */
export async function zip(given, picked) {
  wire();
  [pictures, chosen] = [given, picked];
  say($("zip-words"), some());
  say($("zip-problem"), "");
  openDialog($("zip-dialog"));
  if ($("zip-preset").options.length > 1) return;
  const presets = await api.presets().catch(() => []);
  $("zip-preset").append(...presets.map(({ name, title }) => h("option", { value: name }, title)));
}

async function download() {
  const submit = $("zip-form").querySelector("[type=submit]");
  submit.disabled = true;
  $("zip-progress").hidden = false;
  Object.assign($("zip-progress"), { max: pictures.length, value: 0 });
  const files = Array(pictures.length).fill(null);
  const problems = [];
  const names = new Map();
  let next = 0;
  const work = async () => {
    while (next < pictures.length) {
      const place = next;
      next += 1;
      const { image, shot } = pictures[place];
      try {
        const { blob, extension } = await api.delivered(image, $("zip-preset").value);
        files[place] = { blob, extension, stem: (shot.sku ?? image.id).replace(/[^\w.-]+/g, "_") };
      } catch (problem) {
        if (!problem.code) throw problem;
        problems.push(`${shot.sku ?? image.id}: ${problem.detail}`);
      }
      $("zip-progress").value += 1;
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    const named = files.filter(Boolean).map(({ blob, extension, stem }) => {
      const nth = (names.get(stem.toLowerCase()) ?? 0) + 1;
      names.set(stem.toLowerCase(), nth);
      return { blob, name: `${stem}-${String(nth).padStart(2, "0")}.${extension}` };
    });
    if (named.length) save(await zipped(named), "pictures.zip");
    say($("zip-problem"), problems.length ? `${plural(problems.length, "picture")} left out. ${problems.slice(0, 5).join(" ")}` : "");
    if (!problems.length) $("zip-dialog").close();
  } finally {
    submit.disabled = false;
    $("zip-progress").hidden = true;
  }
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Open the share links, for pictures as `zip` does. */
export async function share(given, picked) {
  wire();
  [pictures, chosen] = [given, picked];
  say($("share-words"), `${some()} Visitors need no key. They see copies of at most 1,024 px and leave comments; nothing else opens to them.`);
  say($("share-problem"), "");
  say($("share-copy"), "Copy");
  $("share-made").hidden = true;
  if (!$("share-name").value) $("share-name").value = `Review of ${new Date().toLocaleDateString()}`;
  openDialog($("share-dialog"));
  await listLinks();
}

async function makeLink() {
  try {
    const body = { image_ids: pictures.map(({ image }) => image.id), name: $("share-name").value.trim(), days: $("share-days").valueAsNumber };
    const made = await api.json(api.call("POST", "/v1/shares", { json: body }));
    $("share-link").value = new URL(made.url, location.href).href;
    $("share-made").hidden = false;
    $("share-link").select();
    await listLinks();
  } catch (problem) {
    if (!problem.code) throw problem;
    const { title, remedy } = plain(problem);
    say($("share-problem"), `${title} ${remedy}`);
  }
}

async function listLinks() {
  const { shares } = await api.json(api.call("GET", "/v1/shares?limit=100")).catch(() => ({ shares: [] }));
  const live = shares.filter(({ expires_at: ends, revoked_at: revoked }) => !revoked && Date.parse(ends) > Date.now());
  keyed($("share-list"), live, ({ id }) => id, ({ id, name, image_ids: ids, expires_at: ends }) => {
    const revoke = h("button", { className: "small", onclick: async () => (await api.call("DELETE", `/v1/shares/${id}`), listLinks()) }, "Revoke");
    return h("li", {}, h("span", {}, `${name} · ${plural(ids.length, "picture")} · until ${new Date(ends).toLocaleDateString()}`), revoke);
  });
}
