// Choose: the pictures of this browser, one of them large, with its review, its files and its commands.

import * as api from "./api.js";
import { asCurl, asShoot } from "./commands.js";
import * as compare from "./compare.js";
import { Deeds } from "./deeds.js";
import * as library from "./library.js";
import { lacking, passing } from "./passing.js";
import { frames, placed } from "./places.js";
import { lacksSides, reframed } from "./reframe.js";
import { order, requestOf, reuse } from "./render.js";
import { usePicture } from "./style.js";
import { standing } from "./shots.js";
import * as sides from "./sides.js";
import { entry as entryOf, forget, inProject, isLive, keep, results, shots, watch } from "./store.js";
import { $, alertOf, h, icon, iconButton, keyed, loaded, openDialog, say, sorry } from "./widgets.js";
import { judged } from "./verdict.js";
import { ago, plural, titleOf } from "./words.js";

let chosen = null; // the image's id
let presets = [];
let awaited = null; // the key of a shot whose first picture is shown as soon as it is there
const deeds = new Deeds(); // reviews, and shots that were removed from the list
let go = () => {};
let setStatus = () => {};

/** `toTab(name)` opens a step, `status(text)` sets the status line. */
export function open({ toTab, status }) {
  [go, setStatus] = [toTab, status];
  compare.open();
  library.open((entry) => entry.images.length && pick(entry.images[0].number));
  sides.open({ choose: (image) => ((chosen = image.id), sync()), review, changed: sync });
  $("save-scene").addEventListener("click", saveScene);
  $("approve").addEventListener("click", () => review("approved"));
  $("reject").addEventListener("click", () => review("rejected"));
  $("more").addEventListener("click", moreLikeThis);
  $("reuse").addEventListener("click", () => withChosen(({ entry }) => (reuse(entry), go("place"))));
  $("download").addEventListener("click", () => download());
  $("paint-sides").addEventListener("click", paintSides);
  $("film").addEventListener("click", () => withChosen(async ({ image, entry }) => (await loaded("clips")).film(image, (extension) => fileNameOf(entry.source.name, image.number, "clip", extension))));
  $("touch-up").addEventListener("click", () => withChosen(async ({ image, entry }) => (await loaded("touchup")).touchUp(image, entry)));
  $("as-style").addEventListener("click", () => withChosen(useAsStyle));
  $("full-size").addEventListener("click", () => withChosen(({ image }) => fullSize(image)));
  $("commands-open").addEventListener("click", () => withChosen(({ entry }) => commands(entry)));
  $("preset").addEventListener("change", showPreset);
  $("filter").addEventListener("change", sync);
  $("make-pass").addEventListener("click", makePass);
  $("show-places").addEventListener("click", togglePlaces);
  $("choose-undo").addEventListener("click", () => (deeds.undo(), sync()));
  $("choose-redo").addEventListener("click", () => (deeds.redo(), sync()));
  document.body.append(sheet());
  document.addEventListener("keydown", onKey);
  watch((what) => what === "shots" && sync());
  sync();
}

/** The channels that a picture can be delivered to. */
export function usePresets(rows) {
  presets = rows;
  const options = rows.map((row) => h("option", { value: row.name }, row.title));
  $("preset").replaceChildren(h("option", { value: "" }, "Unchanged PNG"), ...options);
  showPreset();
}

const preset = () => presets.find((row) => row.name === $("preset").value);

function showPreset() {
  const one = preset();
  const size = one ? `${one.advised_longest_px} px advised` : "The finished file, unchanged.";
  say($("preset-words"), one ? [size, one.formats.map((name) => name.toUpperCase()).join(" or "), one.advice?.replace(/\.$/, ""), one.warning].filter(Boolean).join(". ") : size);
  withChosen(showUnmet);
}

/** Say what the picture lacks for the chosen channel. `refusal` is the server's reason for having refused it. */
function showUnmet({ entry, image }, refusal = "") {
  const one = preset();
  $("sides-missing").hidden = !lacksSides(image, entry.request.background, one);
  const generated = Boolean(entry.request.product);
  const list = one ? lacking(one, entry.desk, generated) : [];
  $("unmet").hidden = !list.length && !refusal;
  $("make-pass").hidden = generated; // no layout makes it a photo
  const phrases = new Intl.ListFormat("en").format(list);
  say($("unmet-words"), list.length ? `“${one.title}” needs ${phrases}.` : refusal);
}

/** Render the chosen picture's layout again so that the channel takes it. The desk itself stays. */
function makePass() {
  withChosen(async ({ entry }) => {
    const one = preset();
    $("make-pass").disabled = true;
    try {
      const made = await passing(one, entry.desk);
      awaited = await order({ ...requestOf(made), seed: entry.request.seed, images: 1 }, made);
      if (awaited) setStatus(`A picture for ${one.title} is being made.`);
    } catch (problem) {
      if (problem.code === "not_found") alertOf("The cut of this picture is gone from the server.", "Press Edit layout and cut it again.", { key: "choose" });
      else sorry(problem, { key: "choose" });
    } finally {
      $("make-pass").disabled = false;
    }
  });
}

function showAwaited() {
  const entry = awaited && entryOf(awaited);
  if (!entry || isLive(entry)) return;
  awaited = null;
  if (!entry.images.length) return;
  chosen = entry.images[0].id;
  setStatus("The picture is ready. Press Download.");
}

/** Show the picture of this number. */
export function pick(number) {
  const found = results().find(({ image }) => image.number === number);
  if (found) chosen = found.image.id;
  sync();
}

function sync() {
  showAwaited();
  const all = results();
  const wanted = $("filter").value;
  const shown = all.filter(({ image }) => wanted === "all" || (image.review ?? "open") === wanted);
  if (!all.some(({ image }) => image.id === chosen)) chosen = all[0]?.image.id ?? null;
  $("choose-empty").hidden = all.length > 0;
  $("choose-some").hidden = all.length === 0;
  $("filter-none").hidden = shown.length > 0 || all.length === 0;
  keyed($("results"), shown, ({ image }) => image.id, resultItem, showResult);
  keyed($("history"), shots().filter(inProject), (entry) => entry.key, historyItem, showHistory);
  $("choose-undo").disabled = !deeds.canUndo;
  $("choose-redo").disabled = !deeds.canRedo;
  withChosen((now) => (showChosen(now), sides.show(now, all)));
}

/** Keep the chosen picture's scene for next time. */
function saveScene() {
  withChosen(async (now) => {
    try {
      const templates = await loaded("templates");
      setStatus(`The scene is a template: ${await templates.saveScene(now)}.`);
    } catch (problem) {
      trouble(problem, now.image);
    }
  });
}

function withChosen(how) {
  const found = results().find(({ image }) => image.id === chosen);
  if (found) how(found);
}

function resultItem({ image, entry }) {
  const { width, height } = entry.request.canvas;
  const picture = h("img", { src: api.thumbnailUrl(image), alt: `Result ${image.number}`, width, height, loading: "lazy", decoding: "async" });
  const button = h("button", { className: "picture-open", "aria-label": `Show picture ${image.number}` }, String(image.number));
  return h("li", { className: "picture", onclick: () => ((chosen = image.id), sync()) }, picture, button, h("span", { className: "badge", "aria-hidden": "true" }));
}

function showResult(item, { image }) {
  item.children[1].setAttribute("aria-pressed", String(image.id === chosen));
  item.classList.toggle("on", image.id === chosen);
  const badge = item.lastChild;
  if (badge.dataset.review === String(image.review)) return;
  badge.dataset.review = String(image.review);
  badge.replaceChildren(...(image.review ? [icon(image.review === "approved" ? "check" : "close")] : []));
}

function showChosen({ image, entry }) {
  compare.compare(image, entry.desk);
  say($("chosen-title"), `Picture ${image.number}`);
  say($("chosen-prompt"), titleOf(entry.request));
  say($("chosen-facts"), `${image.width} × ${image.height} · seed ${image.seed} · ${ago(entry.finished_at ?? entry.created_at)}`);
  $("approve").setAttribute("aria-pressed", String(image.review === "approved"));
  $("reject").setAttribute("aria-pressed", String(image.review === "rejected"));
  const painted = entry.request.background === "generate";
  const ownProduct = !entry.request.product; // else the desk has no layers to edit or to film
  $("more").disabled = !painted || (!ownProduct && !entry.desk.brief.views); // without a scene it would be the same picture
  $("reuse").disabled = !ownProduct;
  $("save-scene").disabled = !painted;
  $("touch-up").disabled = !painted;
  $("touch-up").title = painted ? "Paint a part of the picture anew, or make it larger" : "Nothing was painted in this picture";
  const transparent = entry.request.background === "transparent";
  $("film").disabled = transparent || !ownProduct;
  $("as-style").disabled = transparent;
  $("as-style").title = transparent ? "A transparent picture shows no scene" : "The next scenes take this picture's colours, light and look";
  $("film").title = transparent ? "A transparent picture has no background to move" : "A camera that moves before the picture";
  $("more").title = painted ? "" : "Nothing was painted: it would be the same picture";
  showUnmet({ entry, image });
  showVerdict(image);
}

function showVerdict({ verdict }) {
  const shown = $("verdict");
  const words = JSON.stringify(verdict);
  if (shown.dataset.words === words) return;
  shown.dataset.words = words;
  const places = placed(verdict);
  $("figure-places").replaceChildren(...frames(places));
  $("show-places").hidden = !places.length;
  const { proved, title, detail, warnings, facts } = judged(verdict);
  const mends = { layout: ["Edit layout", "reuse"], seed: ["Another seed", "more"] };
  const warning = ({ text, mend }) => {
    const [label, id] = mends[mend] ?? [];
    return h("li", {}, h("span", {}, text), mend && !$(id).disabled ? h("button", { className: "small", onclick: () => $(id).click() }, label) : null);
  };
  shown.replaceChildren(
    h("div", { className: "proof" }, icon(proved ? "check" : "warn"), h("div", {}, h("strong", {}, title), h("p", { className: "quiet" }, detail))),
    ...(warnings.length ? [h("ul", { className: "warnings" }, ...warnings.map(warning))] : []),
    ...facts.map((text) => h("p", { className: "quiet" }, text)),
  );
  shown.dataset.proved = String(proved);
}

function togglePlaces() {
  const show = $("figure-places").hidden;
  $("figure-places").hidden = !show;
  $("show-places").setAttribute("aria-pressed", String(show));
}

function change(image, how) {
  const entry = shots().find((shot) => shot.images.some((one) => one.id === image.id));
  if (entry) keep({ ...entry, images: entry.images.map((one) => (one.id === image.id ? { ...one, ...how } : one)) });
}

function review(wanted) {
  withChosen(async ({ image }) => {
    const [before, after] = [image.review, image.review === wanted ? null : wanted];
    if (!(await reviewed(image, after))) return;
    deeds.done({ undo: () => reviewed(image, before), redo: () => reviewed(image, after) });
    sync();
  });
}

/** Save a review. Returns whether the server took it. */
async function reviewed(image, wanted) {
  try {
    const { review } = await api.review(image.id, wanted);
    change(image, { review });
    setStatus(review ? `Picture ${image.number} is ${review}.` : `Picture ${image.number} is open again.`);
    return true;
  } catch (problem) {
    trouble(problem, image);
    return false;
  }
}

function removeEntry(entry) {
  deeds.done({ undo: () => keep(entry), redo: () => forget(entry.key) });
  forget(entry.key);
  setStatus(`“${titleOf(entry.request)}” was removed from the list. Undo restores it.`);
}

function trouble(problem, image) {
  if (problem.code === "not_found") {
    alertOf(`Picture ${image.number} is gone from the server.`, "It was deleted. More like this paints it again from the same request.", { key: "choose" });
  } else if (problem.code === "preset_unmet") {
    withChosen((now) => showUnmet(now, problem.detail));
    alertOf("This channel would refuse the picture.", problem.detail, { key: "choose", action: { label: "Make it pass", run: makePass } });
  } else if (problem.code === "not_served" && !$("sides-missing").hidden) {
    alertOf("This channel's frame has another shape.", "The engine can paint the missing sides; the picture itself stays.", { key: "choose", action: { label: "Paint the sides", run: paintSides } });
  } else sorry(problem, { key: "choose" });
}

/** The next scenes follow this picture, as a picture of the style. */
function useAsStyle({ image }) {
  if (!usePicture({ id: image.id, name: `Picture ${image.number}` })) return;
  setStatus(`The next scenes follow picture ${image.number}.`);
  go("render");
}

/** Repeat the layout and brief with the seeds after all those that this request has used. */
function moreLikeThis() {
  withChosen(async ({ entry }) => {
    const alike = (shot) => JSON.stringify({ ...shot.request, seed: 0 }) === JSON.stringify({ ...entry.request, seed: 0 });
    const family = shots().filter(alike);
    const last = Math.max(...family.map((shot) => shot.request.seed + shot.request.images));
    const seed = last % 2 ** 31;
    const made = { ...entry.desk, brief: { ...entry.desk.brief, seed } };
    if (await order({ ...requestOf(made), seed }, made)) {
      setStatus(`${plural(entry.request.images, "more picture")} like this requested.`);
      go("render");
    }
  });
}

/** The name under which a picture is saved: its product, its number and its channel, such as mug-3-amazon-main.jpg. */
function fileNameOf(product, number, channel, extension) {
  const plainName = product.replace(/\.[a-z0-9]{2,5}$/i, "").normalize("NFC").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  return `${[plainName || "packshot", number, channel].filter(Boolean).join("-")}.${extension}`;
}

/** Save the picture as the chosen channel's file, which `make(image, preset)` fetches. */
function download(make = api.delivered) {
  withChosen(async ({ image, entry }) => {
    $("download").disabled = $("paint-sides").disabled = true;
    try {
      const { blob, extension, notes } = await make(image, $("preset").value);
      const name = fileNameOf(entry.source.name, image.number, $("preset").value, extension);
      const url = URL.createObjectURL(blob);
      const link = h("a", { href: url, download: name });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
      say($("preset-words"), notes ? `Saved as ${name}. ${notes}` : `Saved as ${name}.`);
    } catch (problem) {
      trouble(problem, image);
    } finally {
      $("download").disabled = $("paint-sides").disabled = false;
    }
  });
}

function paintSides() {
  say($("preset-words"), "The sides are being painted…");
  download((image, name) => reframed(image, name, ({ step, steps }) => step && say($("preset-words"), `${step} of ${steps} steps`)));
}

function fullSize(image) {
  $("full-picture").src = image.url;
  $("full-picture").alt = `Picture ${image.number}, full size`;
  openDialog($("full"));
}

/** The dialog that shows a shot as commands. */
function sheet() {
  const command = (name, title, rows, ...more) =>
    h(
      "div",
      { className: "field" },
      h("div", { className: "row spread" }, h("label", { className: "label", htmlFor: `command-${name}` }, title), h("button", { className: "small", onclick: () => copy(name) }, `Copy ${name}`)),
      h("textarea", { id: `command-${name}`, className: "code", rows, readOnly: true }),
      ...more,
    );
  return h(
    "dialog",
    { id: "commands", className: "sheet", "aria-labelledby": "commands-title" },
    h("h2", { id: "commands-title" }, "This shot as a command"),
    command("curl", "curl", 7),
    command("shoot", "packshot shoot", 4, h("p", { className: "quiet" }, "It makes the same pictures from the masks that this server keeps.")),
    h("p", { id: "copied", className: "quiet" }),
    h("div", { className: "row end" }, h("button", { className: "primary", "data-close": true }, "Close")),
  );
}

function commands(entry) {
  $("command-curl").value = asCurl(entry.request, location.origin, api.withKeys());
  $("command-shoot").value = asShoot(entry.request, location.origin, api.withKeys());
  openDialog($("commands"));
}

async function copy(name) {
  const text = $(`command-${name}`);
  text.select();
  try {
    await navigator.clipboard.writeText(text.value);
  } catch {
    document.execCommand("copy"); // without a secure origin there is no clipboard API
  }
  setStatus("Copied.");
  say($("copied"), `Copied the ${name === "curl" ? "curl" : "packshot shoot"} command.`);
}

function historyItem(entry) {
  const again = h("button", { className: "small", onclick: () => (reuse(entryOf(entry.key)), go("place")) }, "Use again");
  const copyAs = h("button", { className: "small", onclick: () => commands(entryOf(entry.key)) }, "Commands");
  const away = iconButton("close", "Remove from this list", () => removeEntry(entryOf(entry.key)), "small ghost icon-only");
  return h("li", {}, h("div", {}, h("strong", {}), h("span", { className: "quiet" })), again, copyAs, away);
}

function showHistory(item, entry) {
  const [title, facts] = item.firstChild.children;
  say(title, titleOf(entry.request));
  say(facts, `${standing(entry)} · ${ago(entry.created_at)}`);
  item.lastChild.hidden = isLive(entry);
}

function onKey(event) {
  if ($("panel-choose").hidden || event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.target.closest("[role=tablist]")) return;
  const all = results();
  const at = all.findIndex(({ image }) => image.id === chosen);
  const next = all[at + step];
  if (next) ((chosen = next.image.id), sync());
}
