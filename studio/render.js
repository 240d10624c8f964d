// Render: the brief and the shots.

import { previewUrl } from "./api.js";
import { askAgain } from "./previews.js";
import { conditionsOf, showConditions } from "./conditions.js";
import * as light from "./light.js";
import * as shots from "./shots.js";
import * as style from "./style.js";
import { NEGATIVE, GROUPS, chosenOf, toggled } from "./scenes.js";
import { briefHistory, change, desk, inProject, isLive, randomSeed, shots as entries, watch } from "./store.js";
import { $, alertOf, dismiss, h, keyed, loaded, onNumber, say, show, sorry } from "./widgets.js";
import { ago, plain, titleOf } from "./words.js";

const SHOWN = 8; // ended shots on the list
const SOFT_ABOVE = 2; // the verdict warns of a larger enlargement
const NUMBERS = ["images", "seed", "steps", "guidance_scale", "control_scale"];
const field = (name) => $(`brief-${name}`);

let engines = [];
let finding = null; // the field for words under Cut
let go = () => {};
let pick = () => {};
let setStatus = () => {};

/** `toTab(name)` opens a step, `choose(number)` shows a picture under Choose, `status(text)` sets the status line. */
export function open({ toTab, choose, status }) {
  [go, pick, setStatus] = [toTab, choose, status];
  for (const name of ["prompt", "negative_prompt"]) {
    field(name).addEventListener("input", () => change((now) => (now.brief[name] = field(name).value), { brief: name }));
  }
  for (const name of NUMBERS) {
    onNumber(field(name), (value) => {
      const whole = name === "images" || name === "seed" || name === "steps";
      change((now) => {
        now.brief[name] = whole ? Math.round(value) : value;
        if (name === "seed") now.brief.locked = true; // a typed seed is used as it is
      }, { brief: name });
    });
  }
  $("seed-lock").addEventListener("click", () => change((now) => (now.brief.locked = !now.brief.locked), { brief: true }));
  $("seed-roll").addEventListener("click", () => change((now) => Object.assign(now.brief, { seed: randomSeed(), locked: false }), { brief: true }));
  light.open(toTab);
  style.open(setStatus, engine);
  $("brief").addEventListener("focusin", async () => (await loaded("promptwords")).open(engine), { once: true });
  const more = async () => (await loaded("adapters")).open(engine, () => paintsProduct(desk));
  if (desk.brief.views) more();
  else $("brief").addEventListener("focusin", more, { once: true });
  $("engine").addEventListener("change", (event) => change((now) => Object.assign(now.brief, { engine: event.target.value, steps: null, guidance_scale: null, control_scale: null, sampler: null }), { brief: true }));
  $("sampler").addEventListener("change", (event) => change((now) => (now.brief.sampler = event.target.value || null), { brief: true }));
  $("negative-usual").addEventListener("click", () => change((now) => (now.brief.negative_prompt = NEGATIVE), { brief: true }));
  $("render-undo").addEventListener("click", briefHistory.undo);
  $("render-redo").addEventListener("click", briefHistory.redo);
  $("paint-scene").addEventListener("click", () => change((now) => (now.background = "generate"), { layout: true }));
  $("brief").addEventListener("submit", (event) => (event.preventDefault(), generate()));
  $("scenes").append(...GROUPS.map(group));
  watch((what) => (what === "desk" ? showBrief() : showShots()));
  showBrief();
  showShots();
}

/** Set the engines, which give the fields' defaults and limits. Words are for a server that finds what they name. */
export function useEngines({ engines: rows, finds_words: findsWords }) {
  if (findsWords) finding ??= loaded("find").then((find) => find.open());
  engines = rows;
  if (desk.brief.engine && !engines.some((row) => row.name === desk.brief.engine)) change((now) => (now.brief.engine = null));
  $("engine").replaceChildren(...rows.map((row) => h("option", { value: row.name }, row.title ?? row.name)));
  $("engine-row").hidden = rows.length < 2;
  showBrief();
}

const engineOf = (brief) => engines.find((row) => row.name === brief.engine) ?? engines[0] ?? null;
const engine = () => engineOf(desk.brief);

/** The fields of a brief that an engine cannot honour; the server would refuse them. */
function lackedBy(row) {
  const able = row?.capabilities ?? {};
  const lacked = { negative_prompt: able.negative_prompt === false, guidance_scale: able.guidance === false, control_scale: able.controls?.includes("canny") === false };
  return Object.keys(lacked).filter((name) => lacked[name]);
}

function group(one) {
  const chip = ([name, phrase]) => {
    const button = h("button", { className: "chip", title: phrase, onclick: () => change((now) => (now.brief.prompt = toggled(now.brief.prompt, one, phrase)), { brief: true }) }, name);
    button.dataset.phrase = phrase;
    return button;
  };
  return h("div", { className: "chips", role: "group", "aria-label": one.name }, h("span", { className: "chips-name", "aria-hidden": "true" }, one.name), ...one.scenes.map(chip));
}

/** Whether the engine paints the product too, by an adapter that knows it. */
function paintsProduct({ background, brief }) {
  return Boolean(background === "generate" && brief.views?.length && brief.adapters?.[0] && engineOf(brief)?.capabilities.adapters);
}

function showBrief() {
  const { brief } = desk;
  const now = engine();
  $("brief").toggleAttribute("data-angle", paintsProduct(desk)); // hides what needs the photo's own product
  for (const name of ["prompt", "negative_prompt", "images", "seed"]) show(field(name), brief[name]);
  for (const name of ["steps", "guidance_scale", "control_scale"]) show(field(name), brief[name] ?? now?.defaults[name]);
  if (now) {
    field("steps").max = now.limits.max_steps;
    field("guidance_scale").max = now.limits.max_guidance_scale;
    field("control_scale").max = now.limits.max_control_scale;
    $("engine").value = now.name;
  }
  $("seed-lock").setAttribute("aria-pressed", String(brief.locked));
  $("seed-lock").querySelector("use").setAttribute("href", brief.locked ? "#i-lock" : "#i-unlock");
  say($("seed-words"), seedWords(brief));
  $("render-undo").disabled = !briefHistory.canUndo;
  $("render-redo").disabled = !briefHistory.canRedo;
  const lacked = lackedBy(now);
  for (const name of ["negative_prompt", "guidance_scale", "control_scale"]) field(name).parentElement.hidden = lacked.includes(name);
  $("hint-guidance").hidden = lacked.includes("guidance_scale");
  $("hint-control").hidden = lacked.includes("control_scale");
  showSampler(now);
  showConditions(now);
  style.show();
  light.showLight();
  GROUPS.forEach((one, index) => {
    const chosen = chosenOf(one, brief.prompt);
    for (const chip of $("scenes").children[index].querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(chip.dataset.phrase === chosen));
  });
  const painted = desk.background === "generate";
  const { width, height } = desk.canvas;
  const decoded = now?.capabilities.decoder_scale ?? 1;
  const by = Math.min(...(now?.buckets ?? [[width, height]]).map(([across, along]) => Math.max(width / across, height / along))) / decoded;
  $("soft").hidden = !painted || by <= SOFT_ABOVE || Boolean(now?.capabilities.upscaler);
  say($("soft"), `The canvas enlarges ${paintsProduct(desk) ? "the picture" : "the scene"} about ${Math.round(by)} times. It looks soft; the product ${paintsProduct(desk) ? "too" : "stays sharp"}.`);
  $("unpainted").hidden = painted;
  $("painted-fields").hidden = $("painted-numbers").hidden = !painted;
  const ground = desk.background.startsWith("#") ? `the colour ${desk.background}` : desk.background;
  say($("unpainted-words"), `The background is ${ground}: no scene is painted, so there is one picture, without prompt and seed.`);
}

const SAMPLERS = { ddim: "DDIM", euler: "Euler", unipc: "UniPC", dpmpp: "DPM++", lcm: "LCM" };
const samplersOf = (one) => one?.capabilities?.samplers ?? [];

function showSampler(now) {
  const names = samplersOf(now);
  $("sampler-row").hidden = !names.length;
  $("sampler").replaceChildren(...["", ...names].map((name) => h("option", { value: name }, name ? SAMPLERS[name] ?? name : "The engine's own")));
  $("sampler").value = names.includes(desk.brief.sampler) ? desk.brief.sampler : "";
}

function seedWords({ seed, locked, painted, images }) {
  const seeds = images > 1 ? `seeds ${seed} to ${seed + images - 1}` : `seed ${seed}`;
  if (locked) return `Every Generate paints ${seeds}.`;
  return seed === painted ? `Painted with ${seeds}. Generate picks another seed.` : `Generate paints ${seeds}.`;
}

/** The API request for a desk. */
export function requestOf(now) {
  const { brief } = now;
  const lacked = lackedBy(engineOf(brief));
  const kept = (name, none = null) => (lacked.includes(name) ? none : brief[name]);
  if (paintsProduct(now)) return ofPainted(now, kept);
  return {
    canvas: now.canvas,
    layers: now.layers.map(({ mask_id, x, y, scale, rotation_deg, flip }) => ({ mask_id, x, y, scale, rotation_deg, flip })),
    background: now.background,
    prompt: brief.prompt,
    negative_prompt: kept("negative_prompt", ""),
    images: now.background === "generate" ? brief.images : 1, // without a scene all would be equal
    seed: brief.seed,
    steps: brief.steps,
    guidance_scale: kept("guidance_scale"),
    control_scale: kept("control_scale"),
    ...(now.background === "generate" ? { ...withSampler(brief), ...withConditions(brief), ...(brief.adapters?.[0] && engineOf(brief)?.capabilities.adapters && { adapters: brief.adapters }) } : {}),
    shadow: brief.shadow,
    ...(brief.reflection && now.background !== "transparent" ? { reflection: brief.reflection } : {}),
    ...(brief.relight && now.background === "generate" ? { relight: brief.relight } : {}),
    ...(now.background === "generate" && style.styleOf(brief) ? { style: style.styleOf(brief) } : {}),
    engine: brief.engine,
    ...(now.project ? { project_id: now.project.id } : {}),
  };
}

/** Without layers, and without what needs the photo's own product. */
const ofPainted = ({ canvas, brief, project }, kept) => ({
  product: { mode: "generated", views: brief.views },
  adapters: brief.adapters,
  canvas,
  prompt: brief.prompt,
  negative_prompt: kept("negative_prompt", ""),
  images: brief.images,
  seed: brief.seed,
  steps: brief.steps,
  guidance_scale: kept("guidance_scale"),
  ...withSampler(brief),
  background: "generate",
  layers: [],
  engine: brief.engine,
  ...(project ? { project_id: project.id } : {}),
});

const withSampler = ({ sampler, ...brief }) => (sampler && samplersOf(engineOf(brief)).includes(sampler) ? { sampler } : {});

function withConditions(brief) {
  const conditions = conditionsOf(brief, engineOf(brief));
  return conditions.length ? { conditions } : {};
}

async function generate() {
  dismiss("generate");
  const paints = paintsProduct(desk);
  const layers = paints ? [] : desk.layers.filter((layer) => !layer.hidden);
  if (!paints && !layers.length && desk.layers.length) {
    alertOf("Every layer is hidden.", "Show at least one under Place.", { key: "generate", action: { label: "Go to Place", run: () => go("place") } });
    return;
  }
  if (!paints && !layers.length) {
    alertOf("There is nothing on the canvas yet.", "Cut a product out and press Add to canvas first.", { key: "generate", action: { label: "Go to Cut", run: () => go("cut") } });
    return;
  }
  const fields = desk.background === "generate" ? [...$("brief").querySelectorAll("input[type=number]")] : [];
  const wrong = fields.find((input) => !input.checkValidity());
  if (wrong) {
    alertOf(`${wrong.labels[0].firstChild.textContent.trim()} does not fit.`, `Enter ${wrong.step === "1" ? "a whole number" : "a number"} from ${wrong.min} to ${wrong.max}.`, { key: "generate" });
    wrong.focus();
    return;
  }
  change(({ brief }) => {
    if (!brief.locked && brief.seed === brief.painted) brief.seed = randomSeed();
    brief.painted = brief.seed; // the field shows what was painted
  });
  const made = structuredClone({ canvas: desk.canvas, layers, background: desk.background, brief: desk.brief, project: desk.project });
  const narrow = matchMedia("(max-width: 820px)").matches; // there the shots are below the form
  if (await order(requestOf(made), made)) $("shots").firstElementChild?.scrollIntoView({ block: narrow ? "start" : "nearest" });
}

/** Send a request and show its problems. Returns the entry's key, or null if it was refused. */
export async function order(request, made) {
  const [first] = made.layers;
  const source = first ? { name: first.photo.name, points: first.points, boxes: first.boxes, mask: ["strokes", "upload", "text"].includes(first.source) ? first.mask_id : null } : { name: "product", points: [], boxes: [], mask: null };
  try {
    return await shots.generate({ request, desk: made, source });
  } catch (problem) {
    if (first && problem.code === "not_found") {
      await askAgain(made.layers.map((layer) => layer.mask_id));
      alertOf("A product on the canvas is gone from the server.", "It was deleted. Cut it again under Place.", { key: "generate", action: { label: "Go to Place", run: () => go("place") } });
    } else sorry(problem, { key: "generate" });
    return null;
  }
}

function showShots() {
  const all = entries().filter(inProject);
  const shown = all.filter((entry, index) => isLive(entry) || index < SHOWN);
  $("render-empty").hidden = shown.length > 0;
  keyed($("shots"), shown, (entry) => entry.key, shotCard, showCard);
}

function shotCard(entry) {
  const title = titleOf(entry.request);
  const id = `shot-${entry.key}`;
  const stop = async () => {
    try {
      await shots.cancel(entries().find((one) => one.key === entry.key));
    } catch (problem) {
      sorry(problem, { key: entry.key });
    }
  };
  return h(
    "li",
    { className: "shot" },
    h("div", { className: "shot-head" }, h("h3", { id, className: "shot-title", title }, title), h("span", { className: "shot-standing" })),
    h("div", { className: "bar", role: "progressbar", "aria-labelledby": id, "aria-valuemin": "0", "aria-valuemax": "100" }, h("div", {})),
    h("div", { className: "shot-pictures" }),
    h("div", { className: "shot-foot" }, h("span", { className: "quiet shot-note" }), h("button", { className: "small shot-cancel", "aria-describedby": id, onclick: stop }, "Cancel")),
  );
}

function showCard(card, entry) {
  const [head, bar, pictures, foot] = card.children;
  const live = isLive(entry);
  card.dataset.status = entry.status;
  say(head.lastChild, shots.standing(entry));
  bar.hidden = !live;
  const share = entry.steps ? entry.step / entry.steps : 0;
  bar.setAttribute("aria-valuenow", String(Math.round(share * 100)));
  bar.firstChild.style.transform = `scaleX(${share})`;
  foot.lastChild.hidden = !live;
  foot.lastChild.disabled = entry.cancelling;
  say(foot.firstChild, noteOf(entry));
  const { width, height } = entry.request.canvas;
  const slots = live ? Array.from({ length: entry.request.images }, (_, index) => ({ index })) : entry.images.map((image, index) => ({ index, image }));
  keyed(pictures, slots, ({ index, image }) => image?.id ?? `slot-${index}`, ({ image }) => {
    if (!image) {
      const slot = h("div", { className: "slot" });
      slot.style.aspectRatio = `${width} / ${height}`;
      return slot;
    }
    const picture = h("img", { src: image.url, alt: `Result ${image.number}`, width: image.width, height: image.height, decoding: "async" });
    picture.style.aspectRatio = `${width} / ${height}`;
    const open = h("button", { className: "picture-open", "aria-label": `Look at picture ${image.number}` }, String(image.number));
    return h("div", { className: "picture", onclick: () => pick(image.number) }, picture, open);
  }, (slot, { index, image }) => {
    if (image || !entry.preview || slot.dataset.preview === String(entry.preview)) return;
    slot.dataset.preview = String(entry.preview);
    preview(slot, previewUrl(entry.id, index, entry.preview));
  });
}

/** Show the next preview when it has loaded, to avoid flicker. A picture that has none yet keeps what it shows. */
function preview(slot, url) {
  const image = h("img", { alt: "", src: url });
  image.addEventListener("load", () => slot.isConnected && slot.replaceChildren(image));
}

function noteOf(entry) {
  if (entry.status === "failed") {
    const { title, remedy } = plain(entry.error ?? { code: "internal", detail: "" });
    return entry.error?.code === "not_found" ? "The server no longer has this shot. Press Generate to repeat it." : `${title} ${remedy}`;
  }
  const { background, images, seed, canvas } = entry.request;
  if (background !== "generate") return `${canvas.width} × ${canvas.height} · ${ago(entry.created_at)}`;
  return `${entry.request.product ? "Product painted too · " : ""}${images > 1 ? `Seeds ${seed} to ${seed + images - 1}` : `Seed ${seed}`} · ${canvas.width} × ${canvas.height} · ${ago(entry.created_at)}`;
}

/** Load a shot's layout and brief. */
export function reuse(entry) {
  change(
    (now) => {
      Object.assign(now, structuredClone({ canvas: entry.desk.canvas, layers: entry.desk.layers, background: entry.desk.background }));
      Object.assign(now.brief, { style: null, adapters: [], views: null }, structuredClone(entry.desk.brief), { seed: entry.request.seed, locked: true });
      now.selected = now.layers.at(-1)?.key ?? null;
    },
    { layout: true, brief: true },
  );
  setStatus("The layout and brief of that shot are loaded.");
}
