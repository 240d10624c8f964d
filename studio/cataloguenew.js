// A new catalogue: what was dropped, the look, and the dry run, which says by row what is wrong and what it would cost.

import * as api from "./api.js";
import * as calls from "./cataloguecalls.js";
import { setStatus, show } from "./catalogues.js";
import * as sheets from "./cataloguesheet.js";
import { thumbnail } from "./cataloguethumbs.js";
import { send } from "./catalogueupload.js";
import { adapters, styles } from "./lists.js";
import { $, h, icon, iconButton, loaded, say, settled, sorry } from "./widgets.js";
import { plural } from "./words.js";

const FIRST = 100; // rows that the table shows at once
const WARNINGS = 12; // that are shown at once
const ASK_AFTER_MS = 400;
const MEASURE_S = 1; // how long the first plan waits for the photos' sizes

let files; // path -> File
let sizes; // path -> [width, height] or null, of all files; null until they are read
let manifest; // of sheets.manifestOf, or null
let text; // of the manifest or sheet
let rows; // [{row, sku, photo}], as far as the browser can read them
let look; // {name, scenes: [{name, words}], presets: Set, style: id or "", adapters: Set of ids}
let plan; // the last dry run
let shown;
let only; // "problems", "warnings" or "all"
let asking; // AbortController of the dry run under way

/** Show what was dropped. `again(files)` starts over with other files. */
export async function open(given, again) {
  files = given;
  manifest = sheets.manifestOf(files);
  const isManifest = manifest && manifest.type !== "text/csv";
  text = manifest ? await files.get(manifest.path).text() : sheets.sheetOf(files);
  sizes = null;
  rows = isManifest ? sheets.rowsOfManifest(manifest.type, text) : sheets.rowsOfSheet(text);
  plan = null;
  shown = FIRST;
  only = "all";
  look = { name: nameOf(), scenes: [{ name: "studio", words: "on a light grey studio table, soft light" }], presets: new Set(), style: "", adapters: new Set() };
  const own = !isManifest && !manifest?.look; // the page gives the look
  const side = h(
    "aside",
    { className: "side" },
    h("div", { className: "side-body" }, h("h2", {}, "Plan"), h("div", { id: "figures", className: "figures", "aria-live": "polite" }, h("p", { className: "quiet" }, "Planning…")), ...(own ? lookFields() : [h("p", { className: "quiet" }, `The look is in ${manifest.look ? manifest.look.name : manifest.path}.`)])),
    h("div", { className: "side-foot" }, h("label", { className: "check", id: "skip-row", hidden: true }, h("input", { type: "checkbox", id: "skip", onchange: drawFoot }), h("span", { id: "skip-words" })), h("button", { id: "make", className: "primary wide", disabled: true, onclick: make }, "Upload and start"), h("p", { id: "make-words", className: "quiet" })),
  );
  const stage = h("section", { className: "stage scrolls plan", "aria-label": "Rows" }, h("div", { className: "row spread plan-head" }, h("p", { id: "plan-words" }), h("div", { className: "segments", role: "group", "aria-label": "Show" }, segment("all", "All rows"), segment("problems", "Problems"), segment("warnings", "Warnings"))), h("div", { id: "table" }));
  show({ title: "New catalogue", body: [h("div", { className: "split" }, stage, side)], drop: again, left: () => asking?.abort() });
  draw();
  const reading = loaded("photosizes").then(async ({ sizesOf }) => {
    const found = await sizesOf(given);
    if (files === given) sizes = found;
  });
  await Promise.race([reading, api.pause(MEASURE_S)]);
  if (files !== given || !$("figures")) return; // another view was opened meanwhile
  if (!sizes) reading.then(() => files === given && $("figures") && ask());
  await ask();
}

const nameOf = () => (manifest?.path ?? "Catalogue").replace(/\.[^.]+$/, "").replace(/^catalogue$/i, "Catalogue") + ` ${new Date().toISOString().slice(0, 10)}`;

function segment(name, words) {
  return h("button", { "data-only": name, "aria-pressed": String(name === "all"), onclick: () => lookAt(name) }, words);
}

/** What a sheet does not say: a name, the scenes, the channels. */
function lookFields() {
  const later = settled(ASK_AFTER_MS, ask);
  const changed = () => (planning(), later());
  const name = h("input", { type: "text", value: look.name, maxLength: 120, required: true, oninput: ({ target }) => ((look.name = target.value), changed()) });
  const scenes = h("ul", { className: "scenes" });
  const drawScenes = () =>
    scenes.replaceChildren(
      ...look.scenes.map((scene, index) =>
        h(
          "li",
          {},
          h("input", { type: "text", value: scene.name, maxLength: 40, "aria-label": `Name of scene ${index + 1}`, placeholder: "marble", oninput: ({ target }) => ((scene.name = target.value.trim().toLowerCase()), changed()) }),
          iconButton("close", `Remove scene ${index + 1}`, () => (look.scenes.splice(index, 1), drawScenes(), changed()), "ghost icon-only"),
          h("textarea", { value: scene.words, rows: 2, "aria-label": `Words of scene ${index + 1}`, placeholder: "on a marble table, soft morning light", oninput: ({ target }) => ((scene.words = target.value), changed()) }),
        ),
      ),
    );
  drawScenes();
  const add = () => {
    look.scenes.push({ name: `scene-${look.scenes.length + 1}`, words: "" });
    drawScenes();
    scenes.lastElementChild.querySelector("textarea").focus();
  };
  const channels = h("div", { className: "channels", role: "group", "aria-label": "Channels" });
  api.presets().then((presets) => channels.append(...presets.map((preset) => channel(preset, changed))), sorry);
  return [
    h("label", { className: "field" }, h("span", { className: "label" }, "Name"), name),
    h("div", { className: "field" }, h("span", { className: "label" }, "Scenes"), scenes, h("button", { className: "small", onclick: add }, icon("plus"), "Add a scene")),
    ownLooks(changed),
    h("div", { className: "field" }, h("span", { className: "label" }, "Files for"), channels),
  ];
}

/** The tenant's styles and adapters for all painted scenes; nothing where there are none. */
function ownLooks(changed) {
  const field = h("div", { className: "own-looks" });
  const pick = ({ target }) => ((look.style = target.value), changed());
  const toggle = ({ target }) => (target.checked ? look.adapters.add(target.value) : look.adapters.delete(target.value), changed());
  Promise.all([styles(), adapters()]).then(([kits, files]) => {
    if (kits.length) {
      const options = [h("option", { value: "" }, "None"), ...kits.map(({ id, name }) => h("option", { value: id }, name))];
      field.append(h("label", { className: "field" }, h("span", { className: "label" }, "Style"), h("select", { id: "catalogue-style", "aria-label": "Style", onchange: pick }, ...options)));
    }
    if (files.length) {
      const boxes = files.map(({ id, name, trigger }) => h("label", { className: "check" }, h("input", { type: "checkbox", value: id, onchange: toggle }), h("span", {}, name, trigger ? h("span", { className: "quiet" }, ` write ${trigger}`) : null)));
      field.append(h("div", { className: "field" }, h("span", { className: "label" }, "Adapters"), h("div", { className: "channels", role: "group", "aria-label": "Adapters" }, ...boxes)));
    }
  }, sorry);
  return field;
}

function channel(preset, changed) {
  const plain = preset.background === "white" || !preset.generated;
  const value = plain ? `${preset.name}=white` : preset.name;
  const toggle = ({ target }) => (target.checked ? look.presets.add(value) : look.presets.delete(value), changed());
  return h("label", { className: "check" }, h("input", { type: "checkbox", onchange: toggle }), h("span", {}, preset.title, plain ? h("span", { className: "quiet" }, " on white") : null));
}

/** The request. With `photos` it is a form that says which files are here: then rows without theirs are problems. */
function sent({ photos = true } = {}) {
  const parts = photos ? { photos: JSON.stringify(sizes ?? Object.fromEntries([...files.keys()].map((path) => [path, null]))) } : {};
  if (manifest && manifest.type !== "text/csv") return photos ? { body: form({ ...parts, manifest: new Blob([text], { type: manifest.type }) }) } : { body: text, type: manifest.type };
  if (manifest?.look) return { body: form({ ...parts, sheet: text, look: manifest.look }) };
  const scenes = look.scenes.filter(({ words }) => words.trim()).map(({ name, words }) => ["scene", `${name}=${words.trim()}`]);
  const given = [...(look.style ? [["style", look.style]] : []), ...[...look.adapters].map((id) => ["adapter", id])];
  const query = [["name", look.name], ...scenes, ...given, ...[...look.presets].map((preset) => ["preset", preset])];
  return photos ? { body: form({ ...parts, sheet: text }), query } : { body: text, type: "text/csv", query };
}

function form(parts) {
  const body = new FormData();
  for (const [name, value] of Object.entries(parts)) body.append(name, value instanceof Blob ? value : new Blob([value]), name);
  return body;
}

/** What is on the page is no longer what the plan says: nothing starts before the next plan. */
function planning() {
  asking?.abort(); // its answer would be of what the page said before
  $("figures").setAttribute("aria-busy", "true");
  drawFoot();
}

async function ask() {
  if (!$("figures")) return; // the page was left meanwhile
  planning();
  asking = new AbortController();
  const { signal } = asking;
  try {
    plan = await calls.dryRun(sent(), signal);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    plan = null;
    if (!problem.code) throw problem;
    $("figures").replaceChildren(h("p", { className: "problem", role: "alert" }, problem.detail));
    return drawFoot();
  } finally {
    if (!signal.aborted) $("figures").removeAttribute("aria-busy");
  }
  only = plan.problems_total && !rows.length ? "problems" : only;
  draw();
}

function drawFigures() {
  const time = (s) => (s < 90 ? plural(Math.max(1, Math.round(s)), "second") : s < 5400 ? plural(Math.round(s / 60), "minute") : `${(s / 3600).toFixed(1)} hours`);
  const fact = (value, words) => h("div", {}, h("strong", {}, value), h("span", {}, words));
  const number = (value) => value.toLocaleString("en");
  const { budget, searched, warnings: warned = [] } = plan;
  const most = searched || plan.problems_total ? "up to " : ""; // rows that are left out are counted too
  const upTo = (value) => (value ? most : "") + number(value);
  const whole = warned.filter(({ row }) => !row);
  const inRows = rowsOf(warned).size;
  $("figures").replaceChildren(
    ...[
      h("div", { className: "facts" }, fact(number(plan.rows), "SKUs"), fact(upTo(plan.pictures), "pictures"), fact(upTo(plan.deliveries), "files"), fact(time(plan.device_s), plan.basis === "measured" ? "as measured here" : "estimated")),
      plan.ends_at ? h("p", { className: "quiet" }, `Ends about ${new Date(plan.ends_at).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" })} if nothing else runs on this server.`) : null,
      searched ? h("p", { className: "quiet" }, `The product of ${plural(searched, "SKU")} is found by words. Where they find none, the row is left out.`) : null,
      ...whole.slice(0, WARNINGS).map(({ rule, remedy }) => h("p", { className: "note" }, `${rule}. ${remedy}`)),
      whole.length > WARNINGS ? h("p", { className: "note" }, `${number(whole.length - WARNINGS)} more warnings like these.`) : null,
      inRows ? h("p", { className: "note" }, `${plural(inRows, "row")} ${inRows === 1 ? "has" : "have"} warnings. A channel may refuse ${inRows === 1 ? "its" : "their"} files, or words find nothing.`, h("button", { className: "small", onclick: () => lookAt("warnings") }, "Show")) : null,
      budget.exceeded ? h("p", { className: "problem" }, "This is more than the budget allows.") : null,
    ].filter(Boolean),
  );
}

function drawFoot() {
  const problems = plan?.problems_total ?? 0;
  const skips = problems > 0 && plan.problems.every(({ row }) => row !== undefined);
  const skipping = skips && $("skip").checked;
  const lost = (plan?.problems ?? []).filter(({ code, value }) => code === "photo_missing" && !/^(ph|mk)_/.test(value));
  const waits = lost.length > 0 && lost.length === plan.problems.length && !skipping; // a draft can wait for its files
  $("skip-row").hidden = !skips;
  say($("skip-words"), "Leave rows with problems out");
  const waiting = $("figures").hasAttribute("aria-busy");
  $("make").disabled = waiting || !plan || !plan.rows || (problems > 0 && !skipping && !waits);
  const count = new Set(lost.map(({ value }) => value)).size;
  const [are, them, their] = count === 1 ? ["is", "it", "its row"] : ["are", "them", "their rows"];
  const missing = `${plural(count, "file")} of the sheet ${are} not here. The catalogue cannot start without ${them}, unless you leave ${their} out.`;
  say($("make"), waits ? "Upload" : "Upload and start");
  const correct = `Correct the problems, and drop the folder again${skips ? ", or leave their rows out" : ""}.`;
  say($("make-words"), waits ? missing : problems && !skipping ? correct : "");
}

/** row -> its problems or warnings; those of the whole manifest are left out. */
function rowsOf(problems) {
  const found = new Map();
  for (const one of problems) if (one.row) found.set(one.row, [...(found.get(one.row) ?? []), one]);
  return found;
}

/** Show all rows, or those with problems or warnings. */
function lookAt(name) {
  [only, shown] = [name, FIRST];
  draw();
}

function draw() {
  const found = rowsOf(plan?.problems ?? []);
  const warned = rowsOf(plan?.warnings ?? []);
  const known = new Set(rows.map(({ row }) => row));
  const told = [...new Map([...warned, ...found])].filter(([row]) => !known.has(row)).map(([row, [{ sku }]]) => ({ row, sku: sku ?? "", photo: "" }));
  const all = [...rows, ...told];
  const listed = only === "all" ? all : all.filter(({ row }) => (only === "problems" ? found : warned).has(row));
  for (const button of document.querySelectorAll("[data-only]")) button.setAttribute("aria-pressed", String(button.dataset.only === only));
  say(document.querySelector('[data-only="problems"]'), `Problems${plan?.problems_total ? ` (${plan.problems_total})` : ""}`);
  const warnings = document.querySelector('[data-only="warnings"]');
  warnings.hidden = !warned.size && only !== "warnings";
  say(warnings, `Warnings (${warned.size})`);
  say($("plan-words"), [manifest ? manifest.path : "Photos alone; each SKU is named by its file", plural([...files.keys()].filter(sheets.isPhoto).length, "photo")].join(" · "));
  const line = (one) => {
    const problems = found.get(one.row) ?? [];
    const notes = [...problems.map(problemOf), ...(warned.get(one.row) ?? []).map(warningOf)];
    const file = files.get(one.photo?.replace(/^\.\//, "").normalize("NFC"));
    return h(
      "tr",
      { "data-bad": problems.length > 0 },
      h("td", { className: "number" }, String(one.row)),
      h("td", {}, thumbnail(file, one.photo)),
      h("th", { scope: "row" }, one.sku || "–"),
      h("td", { className: "path" }, one.photo),
      h("td", {}, notes.length ? h("ul", {}, ...notes) : plan ? h("span", { className: "fine" }, icon("check"), "Fine") : null),
    );
  };
  const whole = (plan?.problems ?? []).filter(({ row }) => !row);
  const table = h("table", { className: "rows" }, h("thead", {}, h("tr", {}, ...["Row", "Photo", "SKU", "File", "Check"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...listed.slice(0, shown).map(line)));
  const more = listed.length > shown ? h("button", { onclick: () => ((shown += FIRST), draw()) }, `Show ${Math.min(FIRST, listed.length - shown)} more of ${listed.length}`) : null;
  const none = listed.length ? null : h("p", { className: "quiet none" }, only === "problems" ? "No row has a problem." : only === "warnings" ? "No row has a warning." : "Browsers do not read YAML: the plan says how many SKUs it has, and problems are listed by row.");
  $("table").replaceChildren(...[whole.length ? h("ul", { className: "note whole", role: "alert" }, ...whole.map(problemOf)) : null, listed.length ? table : null, none, more].filter(Boolean));
  if (plan) drawFigures();
  drawFoot();
}

function problemOf({ column, value, rule, remedy }) {
  return h("li", {}, h("strong", {}, column), ` ${rule}${value ? `, got “${value}”` : ""}. `, h("span", { className: "quiet" }, remedy));
}

const warningOf = ({ rule, remedy }) => h("li", {}, h("strong", {}, "Warning"), ` ${rule}. `, h("span", { className: "quiet" }, remedy));

/** Make the draft, send its photos, start it, and show it. */
async function make() {
  $("make").disabled = true;
  try {
    const skip = $("skip").checked && !$("skip-row").hidden;
    const made = await calls.create(sent({ photos: skip }), skip);
    setStatus(`${made.name} is made. Sending its photos.`);
    send(made, files, { start: true }).then((runs) => runs && setStatus(`${made.name} is started.`));
    location.hash = made.id;
  } catch (problem) {
    sorry(problem, { key: "make" });
    drawFoot();
  }
}
