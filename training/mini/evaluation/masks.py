"""The segmenter's figures: IoU and border F of its first candidate for several prompts, and how true its scores are.

- `box`: the product's tight box. `click`: its deepest point. `clicks3`: that click and two corrections, each in the
  largest wrong region of the previous mask (a product click when it was missed, a background click when it leaked).
  As in the studio, the previous mask is a prompt of the next click.
- `spread3`: three product points at once, without corrections. `automatic`: no prompt.
- `click_best`: the best of the click's three candidates. `click_either`: when the click lies in a part that could be
  meant on its own (the cup on its saucer), the better IoU of whole and part. `part_box`: that part, by its own box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from packshot.models.segment.segmenter import SamDecoder, SamEncoder
from packshot.types import Embedding, Mask, MaskCandidate, Photo, Prompts
from training.mini.evaluation.borders import boundary_f
from training.mini.evaluation.pointing import Point, box_of, correction, deepest, spread
from training.mini.evaluation.subjects import Subject

Bits = NDArray[np.bool_]
BINS = 5
SCORED = ("box", "click", "clicks3")
"""Prompts whose scores are compared with the IoU."""


def iou(one: Bits, other: Bits) -> float:
    """The intersection over union; 0 for two empty masks."""
    return float(np.count_nonzero(one & other) / max(1, int(np.count_nonzero(one | other))))


@dataclass
class Segmenter:
    """Encoder and decoder of a segmenter, as they are served."""

    encoder: SamEncoder
    decoder: SamDecoder

    def encode(self, image: NDArray[np.uint8]) -> Embedding:
        """The embedding of an image, uint8 HxWx3 RGB."""
        return self.encoder.encode([Photo(image)])[0]

    def segment(
        self,
        embedding: Embedding,
        points: Sequence[Point] = (),
        box: tuple[float, float, float, float] | None = None,
        mask: Mask | None = None,
    ) -> list[MaskCandidate]:
        """The candidate masks of a prompt, best first. `box` is XYXY in pixels. `mask` is the answer to mend."""
        prompts = Prompts(tuple(points), (box,) if box else (), mask=mask)
        return self.decoder.decode([(embedding, prompts)])[0]


@dataclass
class Answers:
    """The result of one subject: by prompt IoU, border F at 3 px and score of the first candidate, and its mask.

    Masks (bool HxW) are kept for the sheets. `points` are the three clicks.
    """

    name: str
    overlaps: dict[str, float] = field(default_factory=dict)
    borders: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    masks: dict[str, Bits] = field(default_factory=dict)
    points: tuple[Point, ...] = ()

    @property
    def scored(self) -> list[tuple[float, float]]:
        """(score, IoU) of the first candidates of SCORED."""
        return [(self.scores[name], self.overlaps[name]) for name in SCORED]


def ask(segmenter: Segmenter, subject: Subject, seen: Embedding | None = None) -> Answers:
    """Run every prompt of the module's docstring on one subject. `seen` is its embedding, if it is already computed."""
    seen = seen or segmenter.encode(subject.image)
    truth, found = subject.truth, Answers(subject.name)

    def keep(name: str, candidates: list[MaskCandidate]) -> Bits:
        first = candidates[0].mask.pixels > 0
        found.masks[name], found.scores[name] = first, candidates[0].score
        found.overlaps[name], found.borders[name] = iou(first, truth), boundary_f(first, truth)
        return first

    keep("box", segmenter.segment(seen, box=box_of(truth)))
    points = [deepest(truth)]
    candidates = segmenter.segment(seen, points)
    first = keep("click", candidates)
    found.overlaps["click_best"] = max(iou(candidate.mask.pixels > 0, truth) for candidate in candidates)
    found.overlaps["click_either"] = found.overlaps["click"]
    if subject.part is not None:
        if subject.part[int(points[0][1]), int(points[0][0])]:
            found.overlaps["click_either"] = max(found.overlaps["click"], iou(first, subject.part))
        part = segmenter.segment(seen, box=box_of(subject.part))[0]
        found.overlaps["part_box"] = iou(part.mask.pixels > 0, subject.part)
    while len(points) < 3 and (click := correction(first, truth)):
        points.append(click)
        candidates = segmenter.segment(seen, points, mask=candidates[0].mask)
        first = candidates[0].mask.pixels > 0
    keep("clicks3", candidates)
    keep("spread3", segmenter.segment(seen, spread(truth)))
    keep("automatic", segmenter.segment(seen))
    found.points = tuple(points)
    return found


def means(answers: Sequence[Answers]) -> dict[str, object]:
    """The mean IoU by prompt, the mean border F by prompt (`border_f`), `score_error` and the number of subjects."""
    return _mean([answer.overlaps for answer in answers]) | {
        "border_f": _mean([answer.borders for answer in answers]),
        "score_error": score_error(answers),
        "subjects": len(answers),
    }


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each key over the rows that have it."""
    names = sorted({name for row in rows for name in row})
    return {name: round(float(np.mean([row[name] for row in rows if name in row])), 3) for name in names}


def score_error(answers: Sequence[Answers]) -> float:
    """The mean |score - IoU| over the first candidates of SCORED."""
    score, overlap = np.array([pair for answer in answers for pair in answer.scored]).T
    return round(float(np.abs(score - overlap).mean()), 3)


def calibration(answers: Sequence[Answers]) -> dict[str, object]:
    """The score error over all answers, and a row for each fifth of scores."""
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
    return {"mean_error": score_error(answers), "answers": len(score), "reliability": rows}
