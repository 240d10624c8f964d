// Render: the product's shadow, its reflection and its share of the scene's light.

import { change, desk } from "./store.js";
import { $, h, say } from "./widgets.js";

export const USUAL_DEG = 115; // where a cast shadow falls when neither the person nor the scene says
export const STEP_DEG = 5;
const USUAL = { length: 0.8, softness: 0.4, intensity: 0.6 }; // the API's
const SHARES = [["reflection", "strength"], ["relight", "amount"]]; // sliders: what the brief calls them, and their number
const WORDS = {
  none: "No shadow.",
  contact: "A soft shadow where the product touches the ground.",
  cast: "The shadow that a light throws.",
  floating: "The product hovers; its shadow lies on the ground below it.",
};

/** The kind of a request's shadow. */
export const modeOf = (shadow) => (typeof shadow === "string" ? shadow : shadow.mode);

const directionOf = (shadow) => (typeof shadow === "string" ? null : (shadow.direction_deg ?? null));

/** {deg, length, softness, intensity} of a cast shadow, null of another one. `deg` is null when it follows the scene. */
export const castOf = (shadow) => (modeOf(shadow) === "cast" ? { ...USUAL, ...(typeof shadow === "string" ? {} : shadow), deg: directionOf(shadow) } : null);

/** Fill the fields of the panel, once. `toTab(name)` opens a step. */
export function open(toTab) {
  $("shadow").append(...Object.entries({ none: "None", contact: "Contact", cast: "Cast", floating: "Floating" }).map(([value, text]) => h("option", { value }, text)));
  $("shadow").addEventListener("change", (event) => set({ shadow: event.target.value }));
  $("shadow-follows").addEventListener("change", (event) => turn(event.target.checked ? null : USUAL_DEG));
  const dial = $("shadow-dial");
  dial.addEventListener("keydown", (event) => {
    const by = { ArrowRight: STEP_DEG, ArrowUp: STEP_DEG, ArrowLeft: -STEP_DEG, ArrowDown: -STEP_DEG }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    turn((directionOf(desk.brief.shadow) ?? USUAL_DEG) + by);
  });
  dial.addEventListener("pointerdown", (event) => {
    dial.setPointerCapture(event.pointerId);
    point(event);
  });
  dial.addEventListener("pointermove", (event) => dial.hasPointerCapture(event.pointerId) && point(event));
  $("shadow-on-canvas").addEventListener("click", () => {
    toTab("place");
    focusTip();
  });
  for (const [name, field] of SHARES) {
    $(name).addEventListener("input", ({ target }) => set({ [name]: Number(target.value) ? { [field]: Number(target.value) / 100 } : null }, name));
  }
}

/** Focus the handle on the canvas as soon as Place is drawn. */
function focusTip(frames = 300) {
  const tip = $("shadow-tip");
  if (tip?.offsetParent) tip.focus();
  else if (frames) requestAnimationFrame(() => focusTip(frames - 1));
}

const set = (fields, mark = true) => change((now) => Object.assign(now.brief, fields), { brief: mark });

/** Change fields of the cast shadow, as the API takes them, and keep its others. Quick changes are one undo step. */
export function setCast(fields) {
  const { shadow } = desk.brief;
  const { mode, ...rest } = { ...(typeof shadow === "string" ? {} : shadow), ...fields };
  const said = Object.entries(rest).filter(([, value]) => value !== null);
  set({ shadow: said.length ? { mode: "cast", ...Object.fromEntries(said) } : "cast" }, "shadow");
}

/** Let a cast shadow fall to `deg`; null follows the scene. */
const turn = (deg) => setCast({ direction_deg: deg === null ? null : ((Math.round(deg) % 360) + 360) % 360 });

function point({ clientX, clientY }) {
  const box = $("shadow-dial").getBoundingClientRect();
  const [right, down] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
  turn((Math.atan2(right, -down) * 180) / Math.PI);
}

/** Show the desk's shadow, reflection and relight. */
export function showLight() {
  const { shadow } = desk.brief;
  const mode = modeOf(shadow);
  const painted = desk.background === "generate";
  const deg = directionOf(shadow);
  $("shadow").value = mode;
  $("shadow-cast").hidden = mode !== "cast";
  $("shadow-follows").checked = deg === null;
  $("shadow-follows-row").hidden = !painted && deg === null;
  const shown = deg ?? USUAL_DEG;
  const dial = $("shadow-dial");
  dial.classList.toggle("auto", deg === null);
  dial.setAttribute("aria-valuenow", String(shown));
  dial.setAttribute("aria-valuetext", deg === null ? "as the scene's light says" : `${shown} degrees`);
  dial.querySelector("g").setAttribute("transform", `rotate(${shown})`);
  const where = deg === null ? (painted ? " It follows the light of the painted scene." : "") : ` It falls to ${shown}°.`;
  say($("shadow-words"), WORDS[mode] + where);
  $("reflection-row").hidden = desk.background === "transparent";
  $("relight-row").hidden = !painted;
  for (const [name, field] of SHARES) {
    const percent = Math.round((desk.brief[name]?.[field] ?? 0) * 100);
    $(name).value = String(percent);
    say($(`${name}-words`), percent ? `${percent} %` : "none");
  }
}

