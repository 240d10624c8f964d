// The set report: whether the pictures look like one set, and which ones stand out.

import * as calls from "./cataloguecalls.js";
import { frames } from "./places.js";
import { h, icon } from "./widgets.js";
import { plural } from "./words.js";

const NAMES = { ground: "Ground line", fill: "Size", background: "Background", shadow: "Shadow" };
const FIRST = 6;

/** The report's elements; a sentence while there is nothing to measure. */
export async function reportOf({ id, counts }) {
  const head = h("h2", {}, "One look");
  if (!counts.done) return [head, h("p", { className: "quiet" }, "The report compares the pictures of a scene when the first rows are done.")];
  let report;
  try {
    report = await calls.report(id);
  } catch (problem) {
    if (!problem.code) throw problem;
    return [head, h("p", { className: "quiet" }, problem.code === "offline" ? "The server does not answer." : problem.detail)];
  }
  if (!report.measured) return [head, h("p", { className: "quiet" }, "Nothing of these pictures could be measured.")];
  const verdict = report.within ? `${plural(report.measured, "picture")} ${report.measured === 1 ? "looks as planned" : "look like one set"}.` : `${report.outliers_total} of ${plural(report.measured, "picture")} stand out.`;
  const sets = report.sets.map((set) => h("div", { className: "set" }, h("h3", {}, set.scene || "Plain", h("span", { className: "quiet" }, ` ${set.canvas.join(" × ")}`)), h("dl", { className: "spreads" }, ...set.spreads.filter(({ measured }) => measured).flatMap(spread))));
  const outliers = report.outliers.slice(0, FIRST).map((one) => entry(one, [], one.detail));
  const defective = report.defective.slice(0, FIRST).map((one) => entry(one, one.findings, `${one.findings[0].check}: ${one.findings[0].detail}`));
  return [
    head,
    h("p", { className: "proof", "data-within": String(report.within) }, icon(report.within ? "check" : "warn"), verdict),
    ...(report.generated ? [h("p", { className: "quiet" }, `In ${plural(report.generated, "picture")} an engine painted the product (product: generated).`)] : []),
    ...sets,
    ...(outliers.length ? [h("h3", {}, "Stand out most"), h("ol", { className: "outliers" }, ...outliers)] : []),
    ...(defective.length ? [h("h3", {}, `Findings in ${plural(report.defective_total, "picture")}`), h("ol", { className: "outliers framed" }, ...defective)] : []),
    h("p", { className: "quiet" }, h("a", { href: `/v1/catalogues/${id}/report`, target: "_blank" }, "The whole report"), " with plots"),
  ];
}

/** A picture of the report, with a frame at the place of each finding, and what is said of it. */
function entry({ image_id: image, sku, scene, view }, findings, words) {
  const url = `/v1/images/${image}`;
  const picture = h("img", { src: `${url}/thumbnail`, alt: scene ? `${sku}, ${scene}` : sku, loading: "lazy" });
  const places = h("span", { className: "places", "aria-hidden": "true" }, ...frames(findings, { named: false }));
  return h("li", {}, h("a", { href: url, target: "_blank" }, picture, places), h("div", {}, h("strong", {}, sku), h("span", { className: "quiet" }, `${scene} ${view === "front" ? "" : view}`), h("p", {}, words)));
}

/** One measure: its values as dots on a line, with the target and the tolerance as a band. */
function spread({ measure, unit, target, tolerance, values, outliers }) {
  const reach = Math.max(2.5 * tolerance, ...values.map((value) => Math.abs(value - target)));
  const at = (value) => `${50 + (48 * (value - target)) / reach}%`;
  const band = h("span", { className: "band" });
  band.style.left = at(target - tolerance);
  band.style.width = `${(96 * tolerance) / reach}%`;
  const dots = values.slice(0, 200).map((value) => {
    const dot = h("span", { className: Math.abs(value - target) > tolerance ? "dot out" : "dot" });
    dot.style.left = at(value);
    return dot;
  });
  const words = outliers ? `${plural(outliers, "picture")} beyond ±${tolerance}` : `all within ±${tolerance}`;
  return [h("dt", {}, NAMES[measure] ?? measure), h("dd", { title: unit }, h("span", { className: "line", role: "img", "aria-label": words }, band, ...dots), h("span", { className: outliers ? "problem" : "quiet" }, words))];
}
