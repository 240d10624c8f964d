"""The score that a person sees: the expected IoU of a candidate.

A small network is sure of what it should doubt. How far the photo's edges moved the border of its best mask says more,
and a box leaves less open than a click:

    expected IoU = a + b x score + c x settled

`settled` is the IoU of the best candidate's mask before and after its border was placed. All candidates of an answer
share it, so their order stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

from packshot.models.segment.automatic import iou
from packshot.models.segment.backdrop import Bools
from packshot.types import U8, Prompts

Expected = Callable[[float, float], float]
"""From a candidate's own score and `settled`, both 0..1, to the expected IoU, 0..1."""
LEAST = 0.05
"""The least expected IoU of a mask that is not empty: 0 says that nothing was found."""
KINDS = ("box", "click", "clicks")
"""The kinds of prompts: at least one box; one click alone; several clicks, or a mask that clicks correct."""


def kind_of(prompts: Prompts) -> str | None:
    """The prompt's kind; None when nobody points."""
    if prompts.boxes:
        return "box"
    if prompts.mask is not None or len(prompts.points) > 1:
        return "clicks"
    return "click" if prompts.points else None


def settled(before: Bools, after: U8) -> float:
    """The IoU of a mask, bool hxw, and the photo's mask that it became, uint8 HxW."""
    small = cv2.resize(after, before.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return iou(before, np.asarray(small > 127))


@dataclass(frozen=True)
class Calibration:
    """The coefficients (a, b, c) by kind of prompt; b is not negative, so that the order stays."""

    planes: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def of(self, kind: str | None) -> Expected | None:
        """The function for this kind of prompt; None when scores stay as they are."""
        plane = self.planes.get(kind) if kind else None
        return None if plane is None else partial(_expected, plane)


def _expected(plane: Sequence[float], score: float, settled: float) -> float:
    start, by_score, by_settled = plane
    return min(1.0, max(LEAST, start + by_score * score + by_settled * settled))
