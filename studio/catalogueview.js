// One catalogue: its state and buttons, its rows as a live grid, its set report, and what comes out of it.

import * as calls from "./cataloguecalls.js";
import { bar, chip, setStatus, show, standing } from "./catalogues.js";
import { outputs } from "./catalogueout.js";
import * as uploading from "./catalogueupload.js";
import { reportOf } from "./cataloguereport.js";
import { alertOf, h, icon, keyed, loaded, openDialog, say, sorry } from "./widgets.js";
import { plural } from "./words.js";

const EVERY_MS = 2000;
const PAGE = 60;
const NAMED = 10; // missing photos that are listed
const ROW_STATES = { "": "All", running: "Running", done: "Done", failed: "Failed", skipped: "Left out", waiting: "Waiting" };
const ACTIONS = {
  draft: [["start", "Start", true], ["cancel", "Discard"]],
  running: [["pause", "Pause"], ["cancel", "Cancel"]],
  paused: [["resume", "Resume", true], ["cancel", "Cancel"]],
  done: [],
  cancelled: [],
};

/** Show a catalogue and keep it up to date until another view is opened. */
export async function open(id) {
  let now;
  try {
    now = await calls.get(id);
  } catch (problem) {
    sorry(problem);
    return show({ title: "", body: [h("div", { className: "empty" }, h("h2", {}, "There is no such catalogue"), h("a", { className: "button", href: "#" }, "All catalogues"))] });
  }
  new View(now).open();
  return undefined;
}

class View {
  constructor(now) {
    Object.assign(this, { now, state: "", pages: 1, acting: Promise.resolve(), timer: 0, left: false, seen: "" });
  }

  open() {
    this.head = h("div", { className: "catalogue-head" });
    this.tabs = h("div", { className: "segments states", role: "group", "aria-label": "Rows by state" });
    this.grid = h("ol", { className: "grid", "aria-label": "Rows" });
    this.none = h("p", { className: "quiet none", hidden: true });
    this.more = h("button", { hidden: true, onclick: () => ((this.pages += 1), this.read()) }, "Show more rows");
    this.sending = h("div", { className: "note", hidden: true });
    this.report = h("section", { className: "field report", "aria-label": "Set report" });
    const stage = h("section", { className: "stage scrolls", "aria-label": this.now.name }, this.head, this.sending, this.tabs, this.grid, this.none, this.more);
    this.out = h("section", { className: "field", "aria-labelledby": "out-title" });
    const side = h("aside", { className: "side" }, h("div", { className: "side-body" }, this.report, this.out));
    const unwatch = uploading.watch((id) => id === this.now.id && (uploading.progressOf(id).done ? this.look() : this.drawSending()));
    const left = () => ((this.left = true), clearTimeout(this.timer), unwatch());
    show({ title: this.now.name, body: [h("div", { className: "split" }, stage, side)], left, drop: this.now.state === "draft" ? (files) => this.bring(files) : null });
    this.draw();
    this.drawSending();
    this.read();
    this.next();
  }

  bring(files) {
    uploading.send(this.now, files);
  }

  next() {
    this.timer = setTimeout(async () => {
      if (document.visibilityState === "visible") await this.look();
      if (!this.left) this.next();
    }, EVERY_MS);
  }

  async look() {
    try {
      const now = await calls.get(this.now.id);
      if (this.left || now.version < this.now.version) return undefined; // a button was pressed meanwhile
      this.now = now;
    } catch (problem) {
      return problem.code === "offline" ? undefined : sorry(problem, { key: "load" });
    }
    const seen = JSON.stringify([this.now.version, this.now.counts, this.now.state]);
    this.draw();
    this.drawSending();
    const live = this.now.state === "running" || this.now.counts.running > 0;
    return seen !== this.seen || live ? ((this.seen = seen), this.read()) : undefined;
  }

  /** Read the pages that show, in place. */
  async read() {
    const { state, pages } = this;
    const rows = [];
    let cursor = "";
    try {
      for (let page = 0; page < pages; page += 1) {
        const part = await calls.rows(this.now.id, { state, cursor, limit: PAGE });
        rows.push(...part.rows);
        cursor = part.next_cursor ?? "";
        if (!cursor) break;
      }
    } catch (problem) {
      return problem.code === "offline" ? undefined : sorry(problem, { key: "load" });
    }
    if (this.left || state !== this.state) return undefined;
    this.more.hidden = !cursor;
    keyed(this.grid, rows, ({ row }) => row, () => h("li", {}), fill);
    this.none.hidden = rows.length > 0;
    say(this.none, state ? `No row is ${ROW_STATES[state].toLowerCase()}.` : "It has no rows.");
    return this.readReport();
  }

  async readReport() {
    const { done } = this.now.counts;
    const known = `${done < 10 ? done : Math.floor(done / 10) * 10} ${this.now.state}`; // not for every row: it compares them all
    if (known === this.reported) return;
    this.reported = known;
    this.report.replaceChildren(...(await reportOf(this.now)));
  }

  draw() {
    const { now } = this;
    const actions = ACTIONS[now.state].map(([what, words, first]) => h("button", { className: first ? "primary" : "", disabled: what === "start" && now.missing_photos_total > 0, onclick: () => (what === "cancel" ? this.cancel() : this.act(what)) }, words));
    if (now.counts.failed && !["draft", "cancelled"].includes(now.state)) actions.push(h("button", { onclick: () => this.act("retry?only=failed", "retry") }, `Retry ${now.counts.failed} failed`));
    const key = JSON.stringify([now.state, now.counts, now.missing_photos_total]);
    if (key !== this.drawn) {
      const focused = this.head.contains(document.activeElement) ? document.activeElement.textContent : null;
      this.head.replaceChildren(h("div", { className: "row spread" }, h("div", { className: "row title" }, h("h2", {}, now.name), chip(now)), h("div", { className: "row" }, ...actions)), bar(now), h("p", { className: "quiet" }, this.words()));
      if (focused) [...this.head.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus();
      this.drawTabs();
    }
    this.drawn = key;
    const stage = now.state === "draft" ? "draft" : now.counts.done > 0 ? "files" : "rows"; // what there is to fetch
    if (stage !== this.fetchable) this.out.replaceChildren(...outputs(now, stage));
    this.fetchable = stage;
  }

  /** Cancel once that is confirmed: it cannot be undone. */
  cancel() {
    const { state, rows, counts } = this.now;
    const open = rows - counts.done - counts.failed - counts.skipped;
    const draft = state === "draft";
    const title = draft ? "Discard this draft?" : "Cancel this catalogue?";
    const words = draft ? "Nothing was painted yet. It stays in the list as cancelled, and cannot be started any more." : `${plural(open, "row")} ${open === 1 ? "has" : "have"} not ended and will be left out. What was delivered stays. It cannot be resumed.`;
    const dialog = h(
      "dialog",
      { className: "sheet", "aria-labelledby": "cancel-title", onclose: () => dialog.remove() },
      h("h2", { id: "cancel-title" }, title),
      h("p", {}, words),
      h("div", { className: "row" }, h("button", { className: "primary", onclick: () => (dialog.close(), this.act("cancel")) }, draft ? "Discard the draft" : "Cancel the catalogue"), h("button", { "data-close": "" }, "Keep it")),
    );
    document.body.append(dialog);
    openDialog(dialog);
  }

  words() {
    const { now } = this;
    const spent = now.spent.images ? `, ${plural(now.spent.images, "picture")}${now.spent.allowed_images ? ` of ${now.spent.allowed_images}` : ""}` : "";
    return `${standing(now)}${spent}.`;
  }

  drawTabs() {
    const { counts, rows } = this.now;
    const buttons = Object.entries(ROW_STATES).map(([state, words]) => {
      const count = state ? counts[state] : rows;
      const choose = () => ((this.state = state), (this.pages = 1), this.drawTabs(), this.read());
      return h("button", { "aria-pressed": String(this.state === state), "data-state": state, onclick: choose }, words, h("span", { className: "count" }, String(count)));
    });
    const focused = this.tabs.contains(document.activeElement) ? document.activeElement.dataset.state : null;
    this.tabs.replaceChildren(...buttons);
    if (focused !== null) this.tabs.querySelector(`[data-state="${focused}"]`).focus();
  }

  /** One after the other: each needs the version that the one before it left. */
  act(what, name = what) {
    const change = () => this.change(what, name);
    this.acting = this.acting.then(change, change);
    return this.acting;
  }

  async change(what, name) {
    try {
      this.now = await calls.change(this.now, what);
      setStatus({ start: "Started.", pause: "Paused. What is being painted ends.", resume: "It goes on.", cancel: "Cancelled. What was delivered stays.", retry: "The failed rows are tried again." }[name]);
    } catch (problem) {
      if (problem.status !== 412) return sorry(problem, { key: "act" });
      this.now = await calls.get(this.now.id);
      alertOf("Somebody else changed this catalogue meanwhile.", `It is ${this.now.state} now. Look at it, and press again if you still want to.`, { key: "act" });
    }
    this.draw();
    return this.look();
  }

  /** What is missing of a draft, and how far the sending is. */
  drawSending() {
    const known = uploading.progressOf(this.now.id);
    const missing = this.now.missing_photos_total ?? 0;
    this.sending.hidden = !(known && !known.done) && !(this.now.state === "draft" && missing > 0) && !known?.refused.length;
    if (this.sending.hidden) return;
    if (known && !known.done) {
      const sum = known.sent + known.refused.length;
      return void this.sending.replaceChildren(h("p", {}, h("strong", {}, `Sending ${sum} of ${plural(known.total, "photo")}.`), " You can look around; this page must stay open."), h("progress", { max: Math.max(1, known.total), value: sum, "aria-label": "Photos sent" }));
    }
    const picker = h("input", { className: "unseen", type: "file", "aria-label": "Pick the folder", onchange: async ({ target }) => this.bring((await loaded("cataloguesheet")).picked(target.files)) });
    picker.webkitdirectory = true;
    const parts = [];
    if (known?.refused.length) parts.push(h("p", {}, h("strong", {}, `${plural(known.refused.length, "photo")} cannot be used.`), " Their rows will say so, and the others go on."), h("ul", { className: "refused" }, ...known.refused.map(({ path, detail }) => h("li", {}, h("strong", {}, path), ` ${detail}`))));
    if (missing) parts.push(h("p", {}, h("strong", {}, `${plural(missing, "photo")} ${missing === 1 ? "is" : "are"} missing.`), " Drop the folder here again: what was sent is not sent twice."), h("ul", { className: "refused" }, ...(this.now.missing_photos ?? []).slice(0, NAMED).map(({ path }) => h("li", {}, path))), h("label", { className: "button" }, "Pick the folder", picker));
    this.sending.replaceChildren(...parts);
    return undefined;
  }
}

/** Draw one row's card into its place. */
function fill(item, row) {
  const key = JSON.stringify(row);
  if (item.dataset.seen === key) return;
  item.dataset.seen = key;
  const pictures = row.shots.filter(({ image_id: image }) => image);
  const first = pictures[0];
  const shown = first ? h("a", { className: "shown", href: `/v1/images/${first.image_id}`, target: "_blank" }, h("img", { src: `/v1/images/${first.image_id}/thumbnail`, alt: `${row.sku}, ${first.scene || "plain"}`, loading: "lazy" })) : h("span", { className: "shown blank" }, row.state === "running" ? h("span", { className: "spinner" }) : icon(row.state === "failed" || row.state === "skipped" ? "warn" : "sheet"));
  const others = pictures.slice(1, 5).map((one) => h("img", { src: `/v1/images/${one.image_id}/thumbnail`, alt: one.scene || "plain", loading: "lazy" }));
  const files = row.files.filter(({ state }) => state === "made").length;
  const held = row.files.filter(({ state }) => state === "held").length;
  const refused = row.files.find(({ state }) => state === "failed");
  const words = row.detail ?? refused?.detail ?? row.shots.find(({ detail }) => detail)?.detail;
  const facts = [pictures.length && plural(pictures.length, "picture"), files && plural(files, "file"), held && `${held} for review`].filter(Boolean).join(", ");
  item.className = "card";
  item.dataset.state = row.state;
  item.replaceChildren(...[shown, others.length ? h("span", { className: "others" }, ...others) : null, h("strong", { title: row.sku }, row.sku), h("span", { className: "row spread" }, h("span", { className: "row-state" }, ROW_STATES[row.state]), h("span", { className: "quiet" }, facts)), words ? h("p", { className: "why", title: words }, words) : null].filter(Boolean));
}
