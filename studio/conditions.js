// Render: what the scene follows besides the product's edges. The engine says what it can.

import { change, desk } from "./store.js";
import { $, h, keyed, say } from "./widgets.js";

// a pose needs people, which nothing draws here
const NAMES = {
  depth: ["Depth", "Near and far: the scene keeps the product's volume."],
  normal: ["Surface", "Which way the product's sides face."],
  segmentation: ["Area", "What the product covers, and nothing of what it is."],
};
const PERCENT = 100;

const found = (kind) => (desk.brief.conditions ?? []).find((one) => one.kind === kind);

function set(kind, scale) {
  change((now) => {
    const others = (now.brief.conditions ?? []).filter((one) => one.kind !== kind);
    const own = { ...(found(kind) ?? { kind }), scale };
    now.brief.conditions = scale ? [...others, own] : others;
  }, { brief: `conditions-${kind}` });
}

/** Show a slider for each further condition of the engine; without any, nothing. */
export function showConditions(engine) {
  const kinds = (engine?.capabilities?.controls ?? []).filter((kind) => kind in NAMES);
  $("conditions-row").hidden = !kinds.length;
  keyed($("conditions"), kinds, (kind) => kind, row, (shown, kind) => {
    const { scale = 0 } = found(kind) ?? {};
    const slider = shown.querySelector("input");
    slider.max = String(Math.round(engine.limits.max_control_scale * PERCENT));
    slider.value = String(Math.round(scale * PERCENT));
    say(shown.querySelector(".quiet"), scale ? `${Math.round(scale * PERCENT)} %` : "none");
  });
}

function row(kind) {
  const [name, title] = NAMES[kind];
  const id = `condition-${kind}`;
  const slider = h("input", { id, type: "range", min: "0", step: "5", title, oninput: (event) => set(kind, Number(event.target.value) / PERCENT) });
  return h("div", { className: "condition" }, h("div", { className: "row spread" }, h("label", { className: "label", for: id }, name), h("span", { className: "quiet" })), slider);
}

/** The conditions of a brief that the engine takes, as the API takes them. */
export function conditionsOf(brief, engine) {
  const kinds = engine?.capabilities?.controls ?? [];
  return (brief.conditions ?? []).filter((one) => kinds.includes(one.kind));
}
