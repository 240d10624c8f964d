// Projects: a name on the server for what belongs together. Each has a desk of its own in this browser.

import * as lists from "./lists.js";
import * as store from "./store.js";
import { $, h, iconButton, keyed, openDialog, say, sorry } from "./widgets.js";
import { plain, plural } from "./words.js";

let rows = []; // of the server
let asked = null; // the id of the project that is being renamed or deleted, with "rename" or "delete"
let status = () => {};

/** `tell(text)` sets the status line. The dialog is made when it is first needed. */
export function open(tell) {
  status = tell;
  document.body.append(dialog());
  $("new-project").addEventListener("submit", (event) => (event.preventDefault(), create()));
}

/** Show the dialog with the server's projects. */
export async function choose() {
  asked = null;
  say($("project-problem"), "");
  draw();
  openDialog($("projects"));
  await refresh();
}

async function refresh() {
  try {
    rows = await lists.projects();
    const own = store.desk.project && rows.find(({ id }) => id === store.desk.project.id);
    if (own && own.name !== store.desk.project.name) store.change((now) => (now.project = { id: own.id, name: own.name }));
    draw();
  } catch (problem) {
    told(problem);
  }
}

function told(problem) {
  if (!problem.code) throw problem;
  const { title, remedy } = plain(problem);
  say($("project-problem"), `${title} ${remedy}`);
}

function dialog() {
  const form = h(
    "form",
    { id: "new-project", className: "row" },
    h("label", { className: "unseen", htmlFor: "project-name" }, "Name of a new project"),
    h("input", { id: "project-name", type: "text", maxLength: 120, required: true, placeholder: "New project, such as Spring catalogue", autocomplete: "off" }),
    h("button", { className: "primary", type: "submit" }, "Create"),
  );
  return h(
    "dialog",
    { id: "projects", className: "sheet", "aria-labelledby": "projects-title" },
    h("h2", { id: "projects-title" }, "Projects"),
    h("p", { className: "quiet" }, "New photos and shots join the open project, for everybody with your key. Each project has its own canvas in this browser."),
    h("ul", { id: "project-rows", className: "project-rows" }),
    form,
    h("p", { id: "project-problem", className: "problem", role: "alert" }),
    h("div", { className: "row spread" }, h("a", { href: "/catalogues" }, "Catalogues"), h("a", { href: "/review" }, "Review"), h("a", { href: "/trainings" }, "Trainings"), h("a", { href: "/verify" }, "Verify a file"), h("button", { "data-close": true }, "Close")),
  );
}

function draw() {
  const all = [{ id: "", name: "No project" }, ...rows];
  keyed($("project-rows"), all, ({ id, name }) => `${id} ${name} ${asked?.id === id ? asked.what : ""}`, row, (item, { id }) => {
    item.classList.toggle("on", (store.desk.project?.id ?? "") === id);
    item.querySelector(".project-open")?.setAttribute("aria-pressed", String((store.desk.project?.id ?? "") === id));
  });
}

function row(project) {
  if (asked?.id === project.id && asked.what === "rename") return renaming(project);
  if (asked?.id === project.id && asked.what === "delete") return deleting(project);
  const ask = (what) => () => ((asked = { id: project.id, what }), draw(), $("project-rows").querySelector("[data-first]")?.focus());
  const name = h("button", { className: "project-open ghost", onclick: () => enter(project) }, project.name);
  if (!project.id) return h("li", {}, name);
  return h("li", {}, name, h("button", { className: "small", onclick: ask("rename"), "aria-label": `Rename ${project.name}` }, "Rename"), iconButton("close", `Delete ${project.name}`, ask("delete"), "small ghost icon-only"));
}

const back = () => ((asked = null), draw());

function renaming(project) {
  const input = h("input", { type: "text", value: project.name, maxLength: 120, required: true, "aria-label": `New name of ${project.name}`, "data-first": true });
  const save = async (event) => {
    event.preventDefault();
    try {
      await lists.renameProject(project.id, input.value);
      asked = null;
      await refresh();
    } catch (problem) {
      told(problem);
    }
  };
  return h("li", {}, h("form", { className: "row", onsubmit: save }, input, h("button", { type: "submit", className: "small" }, "Save"), h("button", { className: "small ghost", onclick: back }, "Cancel")));
}

function deleting(project) {
  const remove = async () => {
    try {
      await lists.deleteProject(project.id);
    } catch (problem) {
      if (problem.code !== "not_found") return told(problem);
    }
    if (store.desk.project?.id === project.id) store.change((now) => (now.project = null));
    store.forgetDesk(project.id);
    asked = null;
    status(`The project ${project.name} was deleted. Its photos and shots are kept.`);
    await refresh();
  };
  return h("li", {}, h("span", { className: "quiet" }, `Delete ${project.name}? Its photos and shots stay.`), h("button", { className: "small", onclick: remove, "data-first": true }, "Delete"), h("button", { className: "small ghost", onclick: back }, "Keep"));
}

async function create() {
  try {
    const made = await lists.addProject($("project-name").value);
    $("project-name").value = "";
    rows = [made, ...rows];
    enter(made);
  } catch (problem) {
    told(problem);
  }
}

/** Open a project's desk. The first time in this browser, it begins with the project's photos. */
async function enter({ id, name }) {
  $("projects").close();
  if ((store.desk.project?.id ?? "") === id) return;
  const known = store.openDesk(id ? { id, name } : null);
  status(id ? `${name} is open. New photos and shots join it.` : "No project is open.");
  if (known || !id) return;
  try {
    const photos = await lists.photosOf(id);
    if (!photos.length || store.desk.project?.id !== id) return;
    store.change((now) => {
      now.photos = photos.reverse().map((photo, index) => ({ id: photo.id, name: `Photo ${index + 1}`, width: photo.width, height: photo.height }));
      now.photo = now.photos.at(-1).id;
    });
    status(`${name} is open, with ${plural(photos.length, "photo")} of the server.`);
  } catch (problem) {
    sorry(problem);
  }
}
