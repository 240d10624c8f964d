// A picture's verdict in plain words: first what is proved, then what the user can mend, then how it was made.

const MENDS = { frame: "layout", fill: "layout", product: "layout", scene: "seed", lock: "seed", hallucination: "seed" }; // check -> what mends it
const LOCKS = new Set(["lock", "relit_lock"]);
const FACTS = new Set(["enlargement", "framing"]); // they follow from the engine's size, and no choice of the user mends them
const SHOWS = 1.05; // a smaller enlargement or stretch is not seen

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");

/**
 * {proved, title, detail, warnings: [{text, mend}], facts: [text]}. `proved` is true when the product's pixels equal the
 * photo's, or the photo's under a smooth light, false when some differ, and null when nobody compared them or an engine
 * painted the product. `mend` is "layout", "seed" or undefined.
 */
export function judged({ findings, product }) {
  const lock = findings.find(({ check }) => LOCKS.has(check));
  if (product === "generated") return ofPainted(findings, lock);
  const proved = lock ? lock.level === "ok" : null;
  const title = { true: lock?.check === "relit_lock" ? "The product has the scene's light and is otherwise unaltered" : "The product is unaltered", false: "The product was altered", null: "The product was not compared" }[proved];
  const { warnings, facts } = told(findings);
  if (proved === false) warnings.unshift({ text: "Paint it again. If it happens again, tell the operator.", mend: MENDS.lock });
  return { proved, title, detail: lock ? sentence(lock.detail) : "", warnings, facts };
}

/** What is said of a picture whose product an engine painted: nobody can prove it, so a person must compare it. */
function ofPainted(findings, lock) {
  const { warnings, facts } = told(findings);
  warnings.unshift({ text: "Compare it with photos of the product. Channels that take only a photographed product refuse it." });
  return { proved: null, title: "Product: generated", detail: lock ? sentence(lock.detail) : "", warnings, facts };
}

/** The findings besides the lock, in words: what is wrong, and what is worth knowing. */
function told(findings) {
  const rest = findings.filter(({ check, level }) => !LOCKS.has(check) && (level !== "ok" || FACTS.has(check)));
  const warnings = rest.filter(({ check }) => !FACTS.has(check)).map(({ check, detail }) => ({ text: sentence(detail), mend: MENDS[check] }));
  const facts = rest.filter(({ check }) => FACTS.has(check)).map(({ check, value, detail }) => (check === "enlargement" ? enlarged(value, detail) : value > SHOWS ? sentence(detail) : ""));
  return { warnings, facts: facts.filter(Boolean) };
}

/** The scene's enlargement, when it shows. */
function enlarged(factor, detail) {
  if (!(factor > SHOWS)) return "";
  return factor > 2 ? `The scene was enlarged ${factor.toFixed(1)} times and looks soft. The product was not.` : sentence(detail);
}
