"""The segmenter's figures: IoU of the answer that its score puts first, and how far that score can be believed.

- `box`: the product's tight box. `click`: its deepest point. `clicks3`: that click, then two corrections, each in the
  largest wrong region of the answer before (missed: product, leaked: background), as a person would.
- `spread3`: three product points at once, no corrections. `automatic`: no prompt.
- `click_best`: the best of the click's three candidates. `click_either`: where the click lies in what could be meant
  alone (the cup on its saucer), the better of both meanings counts. `part_box`: that part, by its own box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from packshot.models.segment.segmenter import SamDecoder, SamEncoder
from packshot.types import Embedding, MaskCandidate, Photo, Prompts
from training.mini.evaluation.pointing import Point, box_of, correction, deepest, spread
from training.mini.evaluation.subjects import Subject

Bits = NDArray[np.bool_]
BINS = 5


def iou(one: Bits, other: Bits) -> float:
    """Intersection over union; 0 for two empty masks."""
    return float(np.count_nonzero(one & other) / max(1, int(np.count_nonzero(one | other))))


@dataclass
class Segmenter:
    """Both halves of a segmenter, as they are served."""

    encoder: SamEncoder
    decoder: SamDecoder

    def look(self, image: NDArray[np.uint8]) -> Embedding:
        return self.encoder.encode([Photo(image)])[0]

    def answer(
        self, seen: Embedding, points: Sequence[Point] = (), box: tuple[float, float, float, float] | None = None
    ) -> list[MaskCandidate]:
        """Candidates, best first."""
        return self.decoder.decode([(seen, Prompts(tuple(points), (box,) if box else ()))])[0]


@dataclass
class Answers:
    """One subject's IoU by prompt, (score, IoU) of the first candidates, and their masks (bool HxW) for the sheets."""

    name: str
    overlaps: dict[str, float] = field(default_factory=dict)
    scored: list[tuple[float, float]] = field(default_factory=list)
    masks: dict[str, Bits] = field(default_factory=dict)
    points: tuple[Point, ...] = ()


def ask(segmenter: Segmenter, subject: Subject, seen: Embedding | None = None) -> Answers:
    """Every prompt of the module's docstring on one subject."""
    seen = seen or segmenter.look(subject.image)
    truth, found = subject.truth, Answers(subject.name)

    def keep(name: str, candidates: list[MaskCandidate], believed: bool = True) -> Bits:
        first = candidates[0].mask.pixels > 0
        found.masks[name], found.overlaps[name] = first, iou(first, truth)
        if believed:
            found.scored.append((candidates[0].score, found.overlaps[name]))
        return first

    keep("box", segmenter.answer(seen, box=box_of(truth)))
    points = [deepest(truth)]
    candidates = segmenter.answer(seen, points)
    first = keep("click", candidates)
    found.overlaps["click_best"] = max(iou(candidate.mask.pixels > 0, truth) for candidate in candidates)
    found.overlaps["click_either"] = found.overlaps["click"]
    if subject.part is not None:
        if subject.part[int(points[0][1]), int(points[0][0])]:
            found.overlaps["click_either"] = max(found.overlaps["click"], iou(first, subject.part))
        part = segmenter.answer(seen, box=box_of(subject.part))[0]
        found.overlaps["part_box"] = iou(part.mask.pixels > 0, subject.part)
    while len(points) < 3 and (click := correction(first, truth)):
        points.append(click)
        candidates = segmenter.answer(seen, points)
        first = candidates[0].mask.pixels > 0
    keep("clicks3", candidates)
    keep("spread3", segmenter.answer(seen, spread(truth)), believed=False)
    keep("automatic", segmenter.answer(seen), believed=False)
    found.points = tuple(points)
    return found


def means(answers: Sequence[Answers]) -> dict[str, float]:
    """Mean IoU by prompt, and how many subjects."""
    names = sorted({name for answer in answers for name in answer.overlaps})
    values = {name: [a.overlaps[name] for a in answers if name in a.overlaps] for name in names}
    return {name: round(float(np.mean(found)), 3) for name, found in values.items()} | {"subjects": len(answers)}


def calibration(answers: Sequence[Answers]) -> dict[str, object]:
    """Mean |score - IoU| over first candidates by box, click and three clicks; a row for each fifth of the scores."""
    score, overlap = np.array([pair for answer in answers for pair in answer.scored]).T
    rows = []
    for low in np.arange(BINS) / BINS:
        inside = (score >= low) & (score < low + 1 / BINS + (low == 1 - 1 / BINS))
        if inside.any():
            mean_score, mean_overlap = score[inside].mean(), overlap[inside].mean()
            rows.append(
                {
                    "scores": f"{low:.1f}-{low + 1 / BINS:.1f}",
                    "answers": int(inside.sum()),
                    "score": round(float(mean_score), 3),
                    "iou": round(float(mean_overlap), 3),
                }
            )
    return {"mean_error": round(float(np.abs(score - overlap).mean()), 3), "answers": len(score), "reliability": rows}
