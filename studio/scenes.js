// Phrases that paint well, in groups; a prompt has one of each group. The mini pack's vocabulary has all of these words.

export const GROUPS = [
  {
    name: "Surface",
    scenes: [
      ["Marble", "on a marble table"],
      ["Dark wood", "on a dark wooden table"],
      ["Oak", "on a light oak table"],
      ["Linen", "on draped beige linen"],
      ["Concrete", "on grey concrete"],
      ["Slate", "on dark slate"],
      ["Terrazzo", "on white terrazzo"],
      ["Sand", "on golden sand"],
      ["Paper", "on plain white paper"],
    ],
  },
  {
    name: "Backdrop",
    scenes: [
      ["Garden", "blurred green garden behind"],
      ["Brick wall", "in front of a brick wall"],
      ["Window", "bright window behind"],
      ["Curtain", "soft white curtain behind"],
      ["Plain wall", "in front of a plain beige wall"],
      ["Studio sweep", "grey studio backdrop"],
      ["City at night", "blurred city lights at night behind"],
      ["Sea", "blue sea and sky behind"],
    ],
  },
  {
    name: "Light",
    scenes: [
      ["Soft morning", "soft warm morning light"],
      ["Golden hour", "golden sunset light"],
      ["Daylight", "bright daylight"],
      ["Window light", "soft light from the left"],
      ["Hard sun", "hard light from the right"],
      ["Cool", "cool neutral light"],
    ],
  },
  {
    name: "Mood",
    scenes: [
      ["Calm", "calm, minimal, airy"],
      ["Moody", "dark and moody"],
      ["Fresh", "fresh and bright"],
      ["Festive", "festive lights, bokeh"],
    ],
  },
];

export const NEGATIVE = "text, watermark, logo, hands, people, blurry";

/** The group's phrase in the prompt, or null. */
export function chosenOf(group, prompt) {
  return group.scenes.map(([, phrase]) => phrase).find((phrase) => contains(prompt, phrase)) ?? null;
}

/** The prompt with a phrase added (it replaces another one of its group), or removed if it was there. */
export function toggled(prompt, group, phrase) {
  const before = chosenOf(group, prompt);
  const parts = before === null ? prompt : without(prompt, before);
  if (before === phrase) return parts;
  if (before !== null) return prompt.replace(before, phrase);
  return parts.trim() ? `${parts.trim().replace(/[,.;]+$/, "")}, ${phrase}` : phrase;
}

const contains = (prompt, phrase) => `, ${prompt.trim()},`.includes(`, ${phrase},`) || prompt.trim().startsWith(`${phrase},`);

function without(prompt, phrase) {
  return prompt.replace(phrase, "").split(",").map((part) => part.trim()).filter(Boolean).join(", ");
}
