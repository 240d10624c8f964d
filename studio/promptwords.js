// Render: which words of the prompts the engine would leave out. Loaded when the brief is first used.

import { readingLine } from "./readwords.js";
import { desk, watch } from "./store.js";
import { $ } from "./widgets.js";

/** Make the lines under the prompt and the negative prompt, once. `engineNow()` is the chosen engine. */
export function open(engineNow) {
  /** What decides how a text is read: the engine, and the adapters that it takes. */
  const now = (text) => {
    const chosen = engineNow();
    return { text: text.trim(), engine: chosen?.name ?? null, adapters: chosen?.capabilities.adapters ? (desk.brief.adapters ?? []).map(({ id }) => id) : [] };
  };
  const lines = [
    readingLine($("brief-prompt"), "prompt-words", () => now(desk.brief.prompt)),
    readingLine($("brief-negative_prompt"), "negative-words", () => now(desk.brief.negative_prompt), { avoids: true }),
  ];
  const changed = () => lines.forEach((line) => line());
  watch((what) => what === "desk" && changed());
  changed();
}
