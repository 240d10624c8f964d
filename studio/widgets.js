// Building blocks of the page: elements, icons, alerts, dialogs, fields.

import { plain } from "./words.js";

export const TRY_AGAIN_MS = 2000;
const NOTE_MS = 15000;

export const $ = (id) => document.getElementById(id);

/** Make an element. `props` are properties, attributes and `on…` listeners; children are nodes or text. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  if (tag === "button") element.type = "button"; // not "submit", the default
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the symbols of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export function iconButton(name, label, onclick, className) {
  return h("button", { className, title: label, "aria-label": label, onclick }, icon(name));
}

/** Load a module, until it succeeds. A browser may cache a failed import, so each retry has another URL. */
export async function loaded(name, tries = 0) {
  try {
    return await import(`./${name}.js${tries ? `?try=${tries}` : ""}`);
  } catch {
    await new Promise((later) => setTimeout(later, TRY_AGAIN_MS));
    return loaded(name, tries + 1);
  }
}

/** Add a stylesheet. Resolves when it applies, or did not load. */
export function sheet(name) {
  return new Promise((resolve) => document.head.append(h("link", { rel: "stylesheet", href: `/studio/${name}.css`, onload: resolve, onerror: resolve })));
}

/** Make the children of `parent` match `items`, in order. A child with the same key is kept and updated. */
export function keyed(parent, items, keyOf, create, update = () => {}) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let previous = null;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = before.get(key);
    before.delete(key);
    if (!element) {
      element = create(item);
      element.dataset.key = key;
    }
    update(element, item);
    const place = previous ? previous.nextElementSibling : parent.firstElementChild;
    if (place !== element) parent.insertBefore(element, place);
    previous = element;
  }
  for (const gone of before.values()) gone.remove();
}

/** Set a text only when it differs, to spare screen readers and layout. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show an alert until it is dismissed; `closed()` is called then. `remedy` is text or an element. `action`: {label, run}.
 * `note`: nothing is wrong, and it goes by itself. An alert replaces the one with the same `key`.
 */
export function alertOf(title, remedy, { action = null, key = title, note = false, closed = () => {} } = {}) {
  dismiss(key);
  const words = typeof remedy === "string" ? h("p", {}, remedy) : remedy;
  const box = h(
    "div",
    { className: note ? "alert mild" : "alert", role: note ? "status" : "alert" },
    icon(note ? "check" : "warn"),
    h("div", { className: "alert-words" }, h("strong", {}, title), words || null),
  );
  box.dataset.key = key;
  const close = () => (box.remove(), closed());
  if (note) setTimeout(() => box.remove(), NOTE_MS);
  if (action) {
    box.append(h("button", { className: "small", onclick: () => (close(), action.run()) }, action.label));
  }
  box.append(iconButton("close", "Dismiss", close, "ghost icon-only"));
  $("alerts").append(box);
  while ($("alerts").children.length > 3) $("alerts").firstElementChild.remove();
}

/** Show a Problem as an alert; rethrow any other error. */
export function sorry(problem, options) {
  if (!problem.code) throw problem;
  const { title, remedy } = plain(problem);
  alertOf(title, remedy, options);
}

export const alerted = (key) => [...$("alerts").children].some((box) => box.dataset.key === key);

export function dismiss(key) {
  for (const box of $("alerts").children) if (box.dataset.key === key) box.remove();
}

/** Open a <dialog> and restore the focus when it closes. */
export function openDialog(dialog) {
  const before = document.activeElement;
  dialog.showModal();
  dialog.addEventListener("close", () => before?.focus?.(), { once: true });
}

/** Let dialogs close by their buttons and by a click outside. */
export function wireDialogs() {
  document.addEventListener("click", ({ target }) => {
    const dialog = target.closest("dialog:not([data-stays])");
    if (dialog && (target === dialog || target.closest("[data-close]"))) dialog.close();
  });
}

/** Show a value in a field, unless the user is editing it. */
export function show(field, value) {
  const text = value === null || value === undefined ? "" : String(value);
  if (field !== document.activeElement && field.value !== text) field.value = text;
}

/** Call `take(number)` for every valid number entered. Other input marks the field as invalid. */
export function onNumber(field, take) {
  field.addEventListener("input", () => {
    const value = field.valueAsNumber;
    const valid = Number.isFinite(value) && field.checkValidity();
    field.toggleAttribute("aria-invalid", false);
    if (!valid) field.setAttribute("aria-invalid", "true");
    else take(value);
  });
}

/** Debounce: run `later` when there was no call for `ms`. */
export function settled(ms, later) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => later(...given), ms);
  };
}
