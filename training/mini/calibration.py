"""Fit how the pack's scores become expected IoUs (packshot/models/segment/calibration.py), and write it into the pack.

    python -m training.mini.calibration packshot/packs/mini --write

It takes drawn pictures whose masks are known, and none that is measured later. The fit has the least absolute error,
because scores are judged by it, and because an ambiguous click is either right or far off: least squares would blur
both.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from packshot.models.segment.calibration import KINDS, Calibration, Expected
from training.mini.evaluation.masks import Segmenter, iou
from training.mini.evaluation.measure import encoder_px, open_pack, open_segmenter, quiet_threads
from training.mini.evaluation.pointing import box_of, correction, deepest
from training.mini.evaluation.subjects import Subject, for_calibration

F64 = NDArray[np.float64]
PICTURES = 128
SHRINK = 0.1
"""Drawn pictures are not photographs: a fit to them is held back by this much (`least_absolute`)."""
Row = tuple[float, float, float]
"""A first answer's own score, how little its border moved, and its IoU."""


class _Recorder(Calibration):
    """Leaves scores as they are, and keeps what they would be fitted to."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[float, float]] = []

    def of(self, kind: str | None) -> Expected:
        return self._expected

    def _expected(self, score: float, settled: float) -> float:
        self.kept.append((score, settled))
        return score


def rows(segmenter: Segmenter, subjects: Iterable[Subject]) -> dict[str, list[Row]]:
    """The first answers to a box, to a click, and to two corrections of it, by kind of prompt."""
    before, found = segmenter.decoder.calibration, defaultdict[str, list[Row]](list)
    try:
        for subject in subjects:
            for kind, row in _answers(segmenter, subject):
                found[kind].append(row)
    finally:
        segmenter.decoder.calibration = before
    return found


def _answers(segmenter: Segmenter, subject: Subject) -> Iterator[tuple[str, Row]]:
    seen, truth = segmenter.encode(subject.image), subject.truth
    recorder = segmenter.decoder.calibration = _Recorder()

    def row() -> Row:
        """That of the last answer. Its first candidate was recorded first."""
        score, settled = recorder.kept[0]
        recorder.kept.clear()
        return score, settled, iou(first, truth)

    first = segmenter.segment(seen, box=box_of(truth))[0].mask.pixels > 0
    yield "box", row()
    points = [deepest(truth)]
    candidates = segmenter.segment(seen, points)
    first = candidates[0].mask.pixels > 0
    yield "click", row()
    while len(points) < 3 and (click := correction(first, truth)):
        points.append(click)
        candidates = segmenter.segment(seen, points, mask=candidates[0].mask)
        first = candidates[0].mask.pixels > 0
        answer = row()
    if len(points) > 1:
        yield "clicks", answer


def planes(found: dict[str, list[Row]]) -> dict[str, list[float]]:
    """The coefficients of `Calibration` by kind of prompt."""
    fitted = {}
    for kind in KINDS:
        score, settled, overlap = np.array(found[kind]).T
        plane = least_absolute(np.stack([score, settled], 1), overlap, SHRINK)
        if plane[1] < 0:  # candidates must keep their order
            plane = np.insert(least_absolute(settled[:, None], overlap, SHRINK), 1, 0.0)
        fitted[kind] = [round(float(value), 3) for value in plane]
    return fitted


def least_absolute(x: F64, y: F64, shrink: float = 0.0) -> F64:
    """The coefficients a, b, c … of a + b x0 + c x1 … with the least mean absolute error, by reweighted least squares.

    `x` is float64 Nxk, and `y` is float64 (N,). `shrink` pulls b, c … towards 0, as in ridge regression: it is the
    weight of their squares beside the mean error, where every column of `x` has the standard deviation 1.
    """
    middle, size = x.mean(0), x.std(0) + 1e-9
    terms, weights = np.column_stack([np.ones(len(x)), (x - middle) / size]), np.ones(len(x))
    pull = np.diag([0.0, *[1.0] * x.shape[1]])
    for _ in range(40):
        weighted = terms * weights[:, None]
        found = np.linalg.solve(weighted.T @ terms + (shrink * weights.sum() + 1e-9) * pull, weighted.T @ y)
        weights = 1 / np.maximum(0.02, np.abs(terms @ found - y))
    slopes = found[1:] / size
    return np.asarray([found[0] - slopes @ middle, *slopes])


def error(calibration: Calibration, found: dict[str, list[Row]]) -> dict[str, float]:
    """The mean |expected IoU - IoU| by kind of prompt."""
    errors = {}
    for kind in KINDS:
        expected = calibration.of(kind) or (lambda score, settled: score)
        off = [abs(expected(score, settled) - overlap) for score, settled, overlap in found[kind]]
        errors[kind] = round(float(np.mean(off)), 3)
    return errors


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path, help="folder of the pack")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="drawn pictures to which the fit is made")
    parser.add_argument("--write", action="store_true", help="write the coefficients into the pack's manifest")
    options = parser.parse_args()
    quiet_threads(1)
    pack = open_pack(options.pack)
    segmenter = open_segmenter(pack)
    found = rows(segmenter, for_calibration(options.pictures, encoder_px(pack)))
    fitted = planes(found)
    if options.write:
        path = options.pack / "manifest.yaml"
        manifest = yaml.safe_load(path.read_text("utf-8"))
        manifest["roles"]["segmenter"]["config"]["expected_iou"] = fitted
        dumped = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
        path.write_text(dumped, "utf-8")
    errors = {"before": error(segmenter.decoder.calibration, found), "after": error(Calibration(fitted), found)}
    print(json.dumps({"expected_iou": fitted, "error": errors, "pictures": options.pictures}))


if __name__ == "__main__":
    main()
