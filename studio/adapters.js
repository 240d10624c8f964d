// Render: the tenant's adapters, which change the engine for this brief. Loaded when the brief is first used.

import * as angle from "./angle.js";
import * as api from "./api.js";
import { change, desk, watch } from "./store.js";
import { $, h, keyed, say, sorry } from "./widgets.js";

const PERCENT = 100;
const FULL = 2; // the API's largest scale

let known = [];
let engine = () => null;
let paints = () => false;

const own = () => desk.brief.adapters ?? [];
const found = (id) => own().find((one) => one.id === id);
const fitting = () => known.filter(({ family }) => family === engine()?.family && engine().capabilities.adapters > 0);

function set(id, scale) {
  const others = own().filter((one) => one.id !== id);
  change((now) => (now.brief.adapters = scale ? [...others, { id, scale }] : others), { brief: `adapter-${id}` });
}

/** Ask for the adapters and make the fields, once. `engineNow()` is the chosen engine, and `paintsNow()` says whether it paints the product too. */
export async function open(engineNow, paintsNow) {
  [engine, paints] = [engineNow, paintsNow];
  const field = h("div", { id: "adapters-row", className: "field" }, h("span", { className: "label", id: "adapters-label" }, "Adapters"), h("div", { id: "adapters", role: "group", "aria-labelledby": "adapters-label" }));
  field.hidden = true;
  $("conditions-row").after(field);
  angle.open(field);
  watch((what) => what === "desk" && show());
  await load();
}

async function load() {
  try {
    ({ adapters: known } = await api.json(api.call("GET", "/v1/adapters?limit=100")));
  } catch (problem) {
    if (problem.code !== "offline") sorry(problem, { key: "adapters" });
    else addEventListener("online", load, { once: true }); // the lost line is told elsewhere
  }
  show();
}

function show() {
  const rows = fitting();
  $("adapters-row").hidden = !rows.length;
  const full = own().length >= (engine()?.capabilities.adapters ?? 0);
  keyed($("adapters"), rows, ({ id }) => id, row, (shown, { id }) => {
    const { scale = 0 } = found(id) ?? {};
    const slider = shown.querySelector("input");
    slider.value = String(Math.round(scale * PERCENT));
    slider.disabled = full && !scale;
    say(shown.querySelector(".quiet"), scale ? `${Math.round(scale * PERCENT)} %` : "none");
  });
  $("angle-row").hidden = !rows.length;
  angle.show({ chosen: rows.filter(({ id }) => found(id)), paints: paints() });
}

function row({ id, name, trigger }) {
  const title = trigger ? `Write ${trigger} into the prompt.` : "It counts for the whole scene.";
  const slider = h("input", { id: `adapter-${id}`, type: "range", min: String(-FULL * PERCENT), max: String(FULL * PERCENT), step: "10", title, oninput: ({ target }) => set(id, Number(target.value) / PERCENT) });
  return h("div", { className: "condition" }, h("div", { className: "row spread" }, h("label", { className: "label", for: `adapter-${id}` }, name), h("span", { className: "quiet" })), slider);
}
