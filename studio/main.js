// The studio page: four steps that share one desk. Starts the modules and connects them.

import * as api from "./api.js";
import * as cut from "./cut.js";
import * as frame from "./frame.js";
import * as keys from "./keys.js";
import * as shots from "./shots.js";
import * as store from "./store.js";
import * as trouble from "./trouble.js";
import { $, alertOf, alerted, dismiss, loaded, say, settled, sheet, sorry, TRY_AGAIN_MS } from "./widgets.js";
import { addFiles } from "./uploads.js";
import { plain } from "./words.js";

const STEPS = ["cut", "place", "render", "choose"];
const STATUS_EVERY_MS = 400;

let message = "";
let presets = null; // a promise of the channels' presets, once a step needs them
let engines = { engines: [] };
let placing = null;
let painting = null;
let choosing = null;
let naming = null;
let picturing = null;

/** The step Place, loaded with the first photo, or when it is opened. */
function place() {
  placing ??= Promise.all([loaded("place"), sheet("place")]).then(([step]) => {
    step.open(setStatus);
    step.listSizes([]);
    channels().then(step.listSizes);
    return step;
  });
  return placing;
}

/** The dialog of projects, loaded when it is first opened. */
function projects() {
  naming ??= Promise.all([loaded("projects"), sheet("projects")]).then(([part]) => (part.open(setStatus), part));
  return naming;
}

/** The scene templates of Render, loaded when that step is first opened. */
function templates() {
  picturing ??= Promise.all([loaded("templates"), sheet("projects")]).then(([part]) => part.open(setStatus));
}

/** The step Render, loaded as Place is. */
function render() {
  painting ??= Promise.all([loaded("render"), sheet("render")]).then(([step]) => {
    step.open({ toTab: go, status: setStatus, choose: async (number) => ((await choose()).pick(number), go("choose")) });
    step.useEngines(engines);
    return step;
  });
  return painting;
}

/** The step Choose, loaded when there are shots or it is opened. */
function choose() {
  choosing ??= Promise.all([loaded("choose"), sheet("choose"), render()]).then(([step]) => {
    step.open({ toTab: go, status: setStatus });
    channels().then(step.usePresets);
    return step;
  });
  return choosing;
}

function step() {
  const wanted = location.hash.slice(1);
  return STEPS.includes(wanted) ? wanted : "cut";
}

/** Open a step. The browser's back button returns. */
function go(name) {
  if (name !== step()) history.pushState(null, "", `#${name}`);
  showStep();
}

function showStep() {
  const now = step();
  for (const name of STEPS) {
    const tab = $(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === now));
    tab.tabIndex = name === now ? 0 : -1;
    $(`panel-${name}`).hidden = name !== now;
  }
  if (now === "place") whenLoaded("place", Promise.all([place(), render()])); // they share a sheet
  if (now === "render") whenLoaded("render", render());
  if (now === "choose") whenLoaded("choose", choose());
  if (now === "render") templates();
  document.title = `${$(`tab-${now}`).firstElementChild.textContent} · Packshot studio`;
}

/** Show that a step is loading, instead of an empty one. */
async function whenLoaded(name, module) {
  const panel = $(`panel-${name}`);
  if (panel.dataset.loaded) return;
  panel.setAttribute("aria-busy", "true");
  await module;
  panel.dataset.loaded = "true";
  panel.removeAttribute("aria-busy");
}

function wireTabs() {
  for (const name of STEPS) {
    $(`tab-${name}`).addEventListener("click", () => {
      message = ""; // it was about the step before
      for (const key of ["cut", "generate"]) dismiss(key);
      showStatus();
      go(name);
    });
  }
  $("tabs").addEventListener("keydown", (event) => {
    const at = STEPS.indexOf(step());
    const to = { ArrowRight: (at + 1) % 4, ArrowLeft: (at + 3) % 4, Home: 0, End: 3 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(STEPS[to]);
    $(`tab-${STEPS[to]}`).focus();
  });
  addEventListener("popstate", showStep);
  addEventListener("hashchange", showStep);
  showStep();
}

function wireFiles() {
  let depth = 0;
  const files = (data) => [...(data?.files ?? [])];
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const asMask = (event) => !$("drop-mask").hidden && event.clientX > innerWidth / 2;
  const over = (is) => {
    $("drop").hidden = !is;
    $("drop-mask").hidden = step() !== "cut" || !store.desk.photo;
  };
  addEventListener("dragenter", (event) => carries(event) && over(++depth > 0));
  addEventListener("dragleave", (event) => carries(event) && over(--depth > 0));
  addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    for (const [zone, is] of [[$("drop").firstChild, !asMask(event)], [$("drop-mask"), asMask(event)]]) zone.classList.toggle("on", is);
  });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    const mask = asMask(event);
    over((depth = 0) > 0);
    if (event.defaultPrevented) return; // a field took it
    event.preventDefault();
    go("cut");
    if (mask) cut.useMask(files(event.dataTransfer)[0]);
    else addFiles(files(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const pasted = files(event.clipboardData);
    if (!pasted.length) return;
    event.preventDefault();
    go("cut");
    addFiles(pasted);
  });
}

/** Update the status line: the live shots, or else the last message. */
const showStatus = (() => {
  let last = 0;
  let timer = 0;
  const now = () => {
    last = Date.now();
    timer = 0;
    say($("status-words"), statusText());
  };
  return () => {
    if (timer) return;
    timer = setTimeout(now, Math.max(0, STATUS_EVERY_MS - (Date.now() - last)));
  };
})();

function statusText() {
  const live = store.shots().filter(store.isLive).reverse(); // the oldest one runs first
  const first = live.find((entry) => entry.status === "running") ?? live[0];
  $("status").dataset.state = first ? first.status : "idle";
  if (!first) return message;
  const others = live.length > 1 ? `, ${live.length - 1} more after it` : "";
  return `${shots.standing(first)}${others}`;
}

const forgetMessage = settled(9000, () => {
  message = "";
  showStatus();
});

function setStatus(text) {
  message = text;
  showStatus();
  forgetMessage();
}

function ended(entry) {
  const { title } = plain(entry.error ?? { code: "internal" });
  setStatus(entry.status === "failed" ? `A shot failed. ${title}` : `${shots.standing(entry)}.`);
}

function connection(isUp) {
  if (isUp) return dismiss("connection");
  if (alerted("connection")) return;
  alertOf("The connection to the studio is lost.", "Your shots continue on the server, and your work is kept here. Trying again…", { key: "connection" });
}

async function start() {
  engines = await answered(api.engines);
  painting?.then((step) => step.useEngines(engines));
  shots.open({ end: ended, connection });
}

const channels = () => (presets ??= answered(api.presets));

/** What `ask` resolves to. It is asked until the server answers. */
async function answered(ask) {
  try {
    const answer = await ask();
    dismiss("start");
    return answer;
  } catch (problem) {
    if (!alerted("start")) sorry(problem, { key: "start" });
    await new Promise((later) => setTimeout(later, TRY_AGAIN_MS));
    return answered(ask);
  }
}

function badges() {
  say($("project-now"), store.desk.project?.name ?? "No project");
  $("project").toggleAttribute("data-open", store.desk.project !== null);
  const count = (name, number) => say($(`count-${name}`), number ? String(number) : "");
  count("place", store.desk.layers.length);
  count("render", store.shots().filter(store.isLive).length);
  count("choose", store.results().length);
  $("to-review").href = store.desk.project ? `/review?project_id=${store.desk.project.id}` : "/review";
}

frame.open();
store.open(trouble.storage);
trouble.open();
$("project").addEventListener("click", async () => (await projects()).choose());
cut.open(setStatus);
store.watch((what) => {
  badges();
  showStatus();
  if (what === "shots") choose();
  else if (store.desk.photos.length) place(), render();
});
badges();
wireTabs();
wireFiles();
keys.open(step);
const needed = [];
if (store.desk.photos.length || step() === "place") needed.push(place());
if (store.desk.photos.length || step() === "render") needed.push(render());
Promise.all(needed).then(() => (document.body.dataset.ready = "true"));
if (store.shots().length) choose();
start();
