// The places of a verdict's findings: frames over a picture, for the step Choose and the set report.

import { h, sheet } from "./widgets.js";

sheet("places");

/** The findings that are not ok and have a place in the picture. */
export const placed = ({ findings }) => findings.filter(({ box, level }) => box && level !== "ok");

/** A frame at the place of each finding, for a layer of the picture's size. `named` writes the checks beside them. */
export function frames(findings, { named = true } = {}) {
  return findings.map(({ check, level, detail, box: [x0, y0, x1, y1] }) => {
    const frame = h("span", { className: "place", "data-level": level, title: detail }, named ? h("span", { className: y0 < 0.06 ? "below" : "" }, check) : null);
    Object.assign(frame.style, { left: `${100 * x0}%`, top: `${100 * y0}%`, width: `${100 * (x1 - x0)}%`, height: `${100 * (y1 - y0)}%` });
    return frame;
  });
}
