// A line below a field for a prompt, which names the words that the engine would leave out.

import * as api from "./api.js";
import { h, say } from "./widgets.js";
import { noteSentences } from "./words.js";

const TYPED_MS = 400; // without a change, after which the text is read

/** Make the line `id` after the element `after`. `now()` gives {text, engine, adapters} as they are: the engine's name
 * (null = the first) and the ids of the shot's adapters. `avoids` is for a negative prompt, which may lack known words.
 * Returns what is called when one of them may have changed. */
export function readingLine(after, id, now, { avoids = false } = {}) {
  const told = h("p", { id, className: "quiet", role: "status", hidden: true });
  after.after(told);
  let asked = ""; // what was read last, or is being read
  let timer = null;

  const read = async (key) => {
    const { text, engine, adapters } = JSON.parse(key);
    // What sends the text refuses what cannot be read, and says why.
    const { notes } = text ? await api.readPrompt(text, engine, adapters).catch(() => ({ notes: [] })) : { notes: [] };
    if (key !== asked) return; // a newer text is being read
    const words = noteSentences(avoids ? notes.filter(({ code }) => code !== "no_known_word") : notes);
    say(told, words);
    told.hidden = !words;
  };

  return () => {
    const key = JSON.stringify(now());
    if (key === asked) return;
    asked = key;
    clearTimeout(timer);
    timer = setTimeout(() => read(key), TYPED_MS);
  };
}

/** What reads a text of a shot's request: its engine, and its adapters. */
export const readerOf = ({ engine = null, adapters }) => ({ engine, adapters: (adapters ?? []).map(({ id }) => id) });
