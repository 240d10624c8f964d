// Render: which words of the prompt the engine would leave out. Loaded when the brief is first used.

import * as api from "./api.js";
import { desk, watch } from "./store.js";
import { $, h, say } from "./widgets.js";
import { noteSentences } from "./words.js";

const TYPED_MS = 400; // without a change, after which the prompt is read

let told; // what the server says about the prompt
let engine = () => null;
let asked = ""; // what was read last, or is being read
let timer = null;

/** Make the line under the prompt, once. `engineNow()` is the chosen engine. */
export function open(engineNow) {
  engine = engineNow;
  told = h("p", { id: "prompt-words", className: "quiet", role: "status", hidden: true });
  $("brief-prompt").after(told);
  watch((what) => what === "desk" && changed());
  changed();
}

/** What decides how the prompt is read: its text, the engine, and the adapters that the engine takes. */
function now() {
  const chosen = engine();
  const adapters = chosen?.capabilities.adapters ? (desk.brief.adapters ?? []).map(({ id }) => id) : [];
  return { text: desk.brief.prompt.trim(), name: chosen?.name ?? null, adapters };
}

function changed() {
  const key = JSON.stringify(now());
  if (key === asked) return;
  asked = key;
  clearTimeout(timer);
  timer = setTimeout(() => read(key), TYPED_MS);
}

async function read(key) {
  const { text, name, adapters } = JSON.parse(key);
  // Generate refuses what cannot be read, and says why.
  const { notes } = text ? await api.readPrompt(text, name, adapters).catch(() => ({ notes: [] })) : { notes: [] };
  if (key !== asked) return; // a newer prompt is being read
  const words = noteSentences(notes);
  say(told, words);
  told.hidden = !words;
}
