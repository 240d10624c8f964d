// The page Trainings: the list of them, a new one from approved pictures or photos, and one that learns.

import { call, json } from "./api.js";
import * as frame from "./frame.js";
import { $, dismiss, h, icon, say, sorry } from "./widgets.js";
import { ago, plural } from "./words.js";

const STATES = { queued: "Waiting", running: "Learning", done: "Done", failed: "Failed", cancelled: "Cancelled" };
const LIVE = ["queued", "running"];
const AGAIN_MS = 2000; // between two questions when the stream was refused, as in a restart
const KINDS = {
  lora: { title: "A look", words: "What the pictures share becomes a look for every product.", repeats: 6, epochs: 10, batch: 2, least: 4 },
  dreambooth: { title: "A product", words: "One product from a few of its pictures, for angles that a photo lacks.", repeats: 100, epochs: 4, batch: 1, least: 3 },
  inversion: { title: "A word", words: "A new word for something that the engine can paint already.", repeats: 100, epochs: 5, batch: 2, least: 3 },
};
const MOST = 1000;

let leave = () => {}; // of the view that shows

function show(title, left, ...body) {
  leave();
  leave = left;
  say($("where"), title);
  document.title = `${title || "Trainings"} · Packshot studio`;
  $("back").hidden = !location.hash.slice(1);
  $("main").replaceChildren(h("div", { className: "page" }, ...body));
}

/** Ask once, then follow on the server's stream until the view is left. `draw` of what was asked returns the trainings to follow; `changed` hears of each change. */
function followed(ask, draw, changed) {
  let stream = null;
  let timer = 0;
  let left = false;
  const stop = () => (stream?.close(), clearTimeout(timer));
  const again = async () => {
    stop();
    try {
      const found = await ask();
      if (!left) follow(new Set(draw(found).filter(live).map(({ id }) => id)));
    } catch (problem) {
      if (!left) sorry(problem, { key: "load", action: { label: "Try again", run: again } });
    }
  };
  const follow = (ids) => {
    stop();
    if (!ids.size) return;
    stream = new EventSource(`/v1/events?trainings=${[...ids].join(",")}`);
    stream.addEventListener("training", ({ data }) => {
      const { training } = JSON.parse(data);
      changed(training);
      if (!live(training)) ids.delete(training.id);
      if (!ids.size) stream.close();
    });
    stream.onerror = () => stream.readyState === EventSource.CLOSED && (timer = setTimeout(again, AGAIN_MS));
  };
  again();
  addEventListener("focus", again); // for those that were begun elsewhere
  return () => ((left = true), stop(), removeEventListener("focus", again));
}

const live = ({ status }) => LIVE.includes(status);

const chip = (state) => h("span", { className: "chip", "data-state": state }, STATES[state]);

function bar({ step, steps, status }) {
  const part = h("span", { "data-state": live({ status }) ? "running" : status === "done" ? "done" : "skipped" });
  part.style.width = `${steps ? (100 * step) / steps : 0}%`;
  return h("div", { className: "bar", role: "img", "aria-label": `${step} of ${plural(steps, "step")}` }, part);
}

const standing = ({ step, steps, loss }) => `${step} of ${plural(steps, "step")}${loss === null ? "" : `, loss ${loss.toFixed(4)}`}`;

function card(training) {
  return h(
    "li",
    {},
    h(
      "a",
      { className: "catalogue", href: `#${training.id}` },
      h("span", { className: "row spread" }, h("strong", {}, training.name), chip(training.status)),
      bar(training),
      h("span", { className: "row spread quiet" }, h("span", {}, standing(training)), h("time", {}, ago(new Date(training.created_at).getTime()))),
    ),
  );
}

function list() {
  const rows = h("ol", { className: "catalogues", "aria-label": "Trainings" });
  const head = h("div", { className: "row spread" }, h("h2", {}, "Trainings"), h("a", { className: "button primary", href: "#new" }, icon("plus"), "New training"));
  const put = (change) => {
    const focused = document.activeElement?.getAttribute?.("href");
    change();
    if (focused) rows.querySelector(`[href="${focused}"]`)?.focus();
  };
  const stop = followed(
    () => json(call("GET", "/v1/trainings?limit=50")),
    ({ trainings }) => {
      if (trainings.length) put(() => rows.replaceChildren(...trainings.map(card)));
      else $("main").replaceChildren(welcome());
      return trainings;
    },
    (training) => put(() => rows.querySelector(`[href="#${training.id}"]`)?.closest("li").replaceWith(card(training))),
  );
  show("", stop, head, rows);
}

function welcome() {
  const drawing = icon("learn");
  drawing.setAttribute("class", "empty-icon");
  return h(
    "div",
    { className: "empty welcome" },
    drawing,
    h("h2", {}, "Your look, learned from your pictures"),
    h("p", {}, "Approve some pictures that have the look of your brand. A training learns what they share, and every new shot can use it."),
    h("div", { className: "row" }, h("a", { className: "button primary", href: "#new" }, "New training")),
    h("p", { className: "quiet" }, "The same from a terminal: ", h("code", {}, "packshot trainings start lora")),
  );
}

/** The approved pictures that no newer version replaced, a page of shots at a time. */
async function approved(cursor) {
  const page = await json(call("GET", `/v1/shots?review=approved&limit=100${cursor && `&cursor=${encodeURIComponent(cursor)}`}`));
  const images = page.shots.flatMap((shot) => shot.images.filter((one) => one.review === "approved" && !one.superseded_by).map(({ id, url }) => ({ id, thumbnail: `${url}/thumbnail`, words: shot.request.prompt || "A picture" })));
  return { images, following: page.next_cursor ?? "" };
}

function field(label, input, note) {
  return h("div", { className: "field" }, h("label", { className: "label", for: input.id }, label), input, note ? h("p", { className: "quiet" }, note) : "");
}

/** A page of the tenant's photos, newest first. */
async function photos(cursor) {
  const page = await json(call("GET", `/v1/photos?limit=100${cursor && `&cursor=${encodeURIComponent(cursor)}`}`));
  return { images: page.photos.map(({ id, url }) => ({ id, thumbnail: url, words: "A photo" })), following: page.next_cursor ?? "" };
}

function begin() {
  const sets = { look: new Set(), product: new Set() }; // the chosen ids: a look begins with all approved pictures, a product with none
  const chosen = () => (kind === "lora" ? sets.look : sets.product);
  let kind = "lora";
  const name = h("input", { id: "name", type: "text", maxLength: 120, autocomplete: "off", oninput: () => count() });
  const tag = h("input", { id: "tag", type: "text", maxLength: 32, autocomplete: "off", spellcheck: false, placeholder: "acmelook7", oninput: () => count() });
  const what = h("input", { id: "class-words", type: "text", maxLength: 80, placeholder: "mug", oninput: () => count() });
  const sample = h("input", { id: "sample", type: "text", maxLength: 400, placeholder: "acmelook7, a mug on marble, soft light" });
  const epochs = h("input", { id: "epochs", type: "number", min: "1", max: "100", value: "10", oninput: () => count() });
  const kinds = h(
    "div",
    { className: "segments", role: "group", "aria-label": "What it learns" },
    ...Object.entries(KINDS).map(([key, { title }]) => h("button", { type: "button", "data-kind": key, onclick: () => choose(key) }, title)),
  );
  const words = h("p", { className: "quiet" });
  const classField = field("What kind of thing it is", what, "In a word or two.");
  const none = ["No picture is approved yet. ", h("a", { href: "/review" }, "Approve some in Review"), ", then come back."];
  const pictures = picker("Approved pictures", approved, none, true);
  const ofProduct = picker("Photos", photos, ["There are no photos yet. Add some under Cut in the studio."], false);
  const told = h("p", { id: "steps" });
  const start = h("button", { className: "primary", onclick: () => send() }, "Start the training");

  /** A group of pictures to choose from, a page at a time. `ofLook`: a look learns from all of them, unless they are left out. */
  function picker(title, page, none, ofLook) {
    const picks = h("div", { className: "picks", role: "group", "aria-label": title });
    const more = h("button", { hidden: true, onclick: () => add() }, "Show older ones");
    let following = "";
    async function add() {
      try {
        const { images, following: next } = await page(following);
        if (ofLook) for (const { id } of images) if (sets.look.size < MOST) sets.look.add(id);
        picks.append(...images.map(pick));
        following = next;
        more.hidden = !following;
        if (!picks.children.length) picks.append(h("p", { className: "quiet" }, ...none));
      } catch (problem) {
        sorry(problem, { key: title, action: { label: "Try again", run: add } });
      }
      count();
    }
    return { room: h("section", { className: "told" }, h("h3", {}, title), picks, more), add, isEmpty: () => !picks.children.length };
  }

  function pick({ id, thumbnail, words: alt }) {
    const toggle = () => {
      if (!chosen().delete(id)) chosen().add(id);
      count();
    };
    return h("button", { className: "pick", type: "button", "data-id": id, onclick: toggle }, h("img", { src: thumbnail, alt, loading: "lazy" }), icon("check"));
  }

  function choose(key) {
    kind = key;
    for (const button of kinds.children) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    say(words, KINDS[kind].words);
    classField.hidden = kind !== "dreambooth";
    ofProduct.room.hidden = kind === "lora"; // a look is in finished pictures
    if (kind !== "lora" && ofProduct.isEmpty()) ofProduct.add();
    epochs.value = String(KINDS[kind].epochs);
    count();
  }

  function count() {
    const { repeats, batch, least } = KINDS[kind];
    const { size } = chosen();
    for (const button of document.querySelectorAll(".pick")) button.setAttribute("aria-pressed", String(chosen().has(button.dataset.id)));
    const each = Math.ceil((size * repeats) / batch);
    const missing = size < least ? `Choose at least ${least} pictures.` : !name.value.trim() ? "Give it a name." : kind !== "lora" && !tag.value ? "Make up a word for it." : kind === "dreambooth" && !what.value.trim() ? "Say what kind of thing it is." : "";
    const sum = `${plural(size, "picture")} × ${repeats} / ${batch} × ${plural(Number(epochs.value), "epoch")} = ${plural(each * Number(epochs.value), "step")}`;
    say(told, missing || sum);
    start.disabled = Boolean(missing);
  }

  async function send() {
    start.disabled = true;
    dismiss("start");
    const body = { name: name.value.trim(), kind, tag: tag.value.trim().toLowerCase(), image_ids: [], photo_ids: [], epochs: Number(epochs.value) };
    for (const id of chosen()) body[id.startsWith("ph_") ? "photo_ids" : "image_ids"].push(id);
    if (kind === "dreambooth") body.class_words = what.value.trim();
    if (sample.value.trim()) body.samples = [sample.value.trim()];
    try {
      const { id } = await json(call("POST", "/v1/trainings", { json: body, headers: { "idempotency-key": crypto.randomUUID() } }));
      location.hash = id;
    } catch (problem) {
      sorry(problem, { key: "start" });
      count();
    }
  }

  const fields = h(
    "div",
    { className: "fields" },
    h("div", { className: "field" }, kinds, words),
    field("Name", name, "The name of the adapter that the training makes."),
    field("Activation word", tag, "A made-up word. A prompt that holds it uses what was learned. A real word would lose its meaning."),
    classField,
    field("Sample", sample, "A prompt that is painted before the training and after each epoch, so that you see what changes."),
    field("Epochs", epochs),
  );
  show("New training", () => {}, h("h2", {}, "New training"), fields, ofProduct.room, pictures.room, h("div", { className: "start" }, told, start));
  choose("lora");
  pictures.add();
}

function one(id) {
  const title = h("h2", {});
  const state = h("span", {});
  const line = h("div", { className: "told" });
  const facts = h("dl", {});
  const why = h("p", { className: "early", hidden: true });
  const done = h("div", { className: "told", hidden: true });
  const curves = h("figure", { className: "told curves", hidden: true }, h("h3", {}, "Loss"), h("img", { alt: "The loss, and the errors as multiples of the untrained engine's" }));
  const samples = h("figure", { className: "told", hidden: true }, h("h3", {}, "Samples"), h("img", { alt: "The samples before the training and after its epochs" }));
  const cancel = h("button", { hidden: true, onclick: () => act("POST", "/cancel") }, "Cancel");
  const remove = h("button", { hidden: true, onclick: () => act("DELETE", "") }, "Delete");
  let seen = "";

  async function act(method, path) {
    try {
      await call(method, `/v1/trainings/${id}${path}`);
      if (method === "DELETE") location.hash = "";
      else cancel.disabled = true;
    } catch (problem) {
      sorry(problem, { key: "act" });
    }
  }

  function picture(figure, url, at) {
    figure.hidden = !url;
    if (url) figure.querySelector("img").src = `${url}?at=${at}`;
  }

  function draw(training) {
    say(title, training.name);
    say($("where"), training.name);
    state.replaceChildren(training.cancelling ? h("span", { className: "chip" }, "Ending") : chip(training.status));
    line.replaceChildren(bar(training), h("p", { className: "quiet" }, standing(training)));
    const { plan } = training;
    const rows = [
      ["Learns", KINDS[training.kind].title.toLowerCase()],
      ["From", `${plural(plan.pictures, "picture")} × ${plan.repeats} / ${plan.batch} × ${plural(plan.epochs, "epoch")}`],
      ["Word", training.tag || "none"],
      ["Engine", training.engine],
      ["Device", `${Math.round(training.device_s)} s so far`],
    ];
    facts.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    const reason = training.error ? training.error.detail : training.ended ? `It ended early: ${training.ended}.` : "";
    why.hidden = !reason;
    say(why, reason);
    done.hidden = !training.adapter_id;
    if (training.adapter_id) {
      const adapter = training.partial ? `${training.name} (step ${training.step})` : training.name;
      const how = training.tag ? `Choose ${adapter} under Adapters, and write ${training.tag} into the prompt.` : `Choose ${adapter} under Adapters.`;
      done.replaceChildren(h("div", { className: "row" }, h("a", { className: "button primary", href: "/" }, "Use it in the studio")), h("p", { className: "quiet" }, how));
    }
    const at = `${training.step}-${training.status}`;
    if (at !== seen) {
      picture(curves, training.loss_url, at);
      picture(samples, training.sheet_url, at);
      seen = at;
    }
    cancel.hidden = !live(training);
    cancel.disabled = training.cancelling;
    remove.hidden = live(training);
    document.body.dataset.state = training.status;
    return [training];
  }

  const stop = followed(() => json(call("GET", `/v1/trainings/${id}`)), draw, draw);
  const head = h("div", { className: "row spread" }, h("div", { className: "row" }, title, state), h("div", { className: "row" }, cancel, remove));
  show("", stop, head, line, why, done, facts, curves, samples);
}

function route() {
  const where = location.hash.slice(1);
  if (!where) list();
  else if (where === "new") begin();
  else one(where);
}

frame.open();
addEventListener("hashchange", route);
route();
document.body.dataset.ready = "true";
