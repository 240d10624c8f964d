"""From a network's masks to the candidates of an answer, best first, each with its border on the photo's edges.

A candidate is a draft until the order is known: only the candidates of the answer have their borders placed, and equal
ones only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from packshot.models.segment.automatic import iou
from packshot.models.segment.glass import softened
from packshot.models.segment.backdrop import Bools
from packshot.models.segment.refine import Box, Click, Guide, Shape, box_fit, place, shape, union, within_box
from packshot.types import F32, Mask, MaskCandidate

ALTERNATIVE = 0.95
"""The least score of the best candidate's alternative, as a share of that candidate's."""
FAVOUR = 0.9
"""The first answer to an unambiguous prompt is preferred if it has at least this share of any answer's evidence."""
SAME_SHAPE = 0.98
"""Shapes with at least this IoU differ by where their borders lie before these are placed on the photo's edges."""
REFINERS = ThreadPoolExecutor(3, thread_name_prefix="refine")
"""Threads that refine a click's candidates in parallel, because OpenCV releases the GIL. They run no torch kernels."""


@dataclass(frozen=True)
class Draft:
    """A candidate before its border is placed. `shape.mask` has the thumbnail's size if masks are refined.

    `score` is the predicted IoU. `evidence` is what speaks for the draft apart from the network's opinion, 0..1: how
    well it fits the user's box, and how strong the photo's edges along its border are.
    """

    shape: Shape
    score: float
    evidence: float = 1.0


def drafted(
    probability: F32,
    score: float,
    box: Box | None,
    *,
    photo: tuple[int, int],
    seen: Guide,
    points: Sequence[Click] = (),
) -> Draft:
    """The draft of one mask of the network, whose score is corrected by the evidence.

    `probability` is float32 hxw of the thumbnail's size. `score` is the network's. `photo` is the photo's size (H, W)
    in pixels; `box` and `points` are in its pixels.
    """
    if box is not None:
        probability = within_box(probability, box, photo)
    down, across = probability.shape[0] / photo[0], probability.shape[1] / photo[1]
    clicks = [(x * across, y * down, label) for x, y, label in points]
    found = shape(seen, probability, boxed=box is not None, clicks=clicks)
    fit = box_fit(found.bbox_xyxy(photo), box) if box is not None else 1.0
    evidence = fit * found.support**0.5
    return Draft(found, score * evidence, evidence)


def joined(drafts: Sequence[Draft]) -> Draft:
    """The union of a product's parts, with the lowest of their scores."""
    shapes, scores, evidence = zip(*((draft.shape, draft.score, draft.evidence) for draft in drafts), strict=True)
    return Draft(union(shapes), min(scores), min(evidence))


def favoured(drafts: Sequence[Draft]) -> Draft:
    """The first draft, with the best score of all, unless the evidence speaks clearly for another one.

    A small network is trained to give its best answer to an unambiguous prompt as the first one, but predicts its
    scores badly.
    """
    first = drafts[0]
    if not first.score or first.evidence < FAVOUR * max(draft.evidence for draft in drafts):
        return first
    return replace(first, score=max(draft.score for draft in drafts))


def corrected(draft: Draft, before: Bools, clicks: Sequence[Click]) -> Draft:
    """The mask `before` with only those changes of the draft that a click asks for; the draft if it asks for none.

    `before` is bool hxw of the thumbnail's size, and `clicks` are in its pixels. A correction must not undo what was
    right elsewhere.
    """
    found = draft.shape.mask
    changes = cv2.connectedComponents((found ^ before).astype(np.uint8), connectivity=4)[1]
    asked = np.zeros(int(changes.max()) + 1, bool)
    for x, y, label in clicks:
        row, column = min(int(y), found.shape[0] - 1), min(int(x), found.shape[1] - 1)
        asked[changes[row, column]] |= bool(found[row, column]) == (label == 1)
    asked[0] = False
    if not asked.any():
        return draft
    return replace(draft, shape=replace(draft.shape, mask=before ^ asked[changes], other=None))


def finished(drafts: Sequence[Draft], most: int, photo: tuple[int, int], seen: Guide | None) -> list[MaskCandidate]:
    """At most `most` candidates, best first, with masks of the photo's size (H, W) `photo`.

    The best draft's alternative, if it has one, follows it. Without `seen` the drafts' masks have the photo's size.
    """
    ordered = sorted(drafts, key=lambda draft: -draft.score)
    best = ordered[0].shape
    if best.other is not None:
        rest = sorted(ordered[1:], key=lambda draft: np.array_equal(draft.shape.mask, best.mask))
        score = max([ALTERNATIVE * ordered[0].score, *(draft.score for draft in rest)])
        ordered = [ordered[0], Draft(replace(best, mask=best.other, other=None), score), *rest]
    ordered = sorted(ordered[:most], key=lambda draft: -draft.score)
    distinct: list[Shape] = []
    for draft in ordered:
        if not any(_same(draft.shape, one) for one in distinct):
            distinct.append(draft.shape)
    masks = list(REFINERS.map(lambda one: _mask(one, photo, seen), distinct))
    own = [next(m for one, m in zip(distinct, masks, strict=True) if _same(draft.shape, one)) for draft in ordered]
    return [MaskCandidate(mask, draft.score) for mask, draft in zip(own, ordered, strict=True)]


def _same(one: Shape, other: Shape) -> bool:
    """Whether two shapes will have the same border."""
    return one is other or (one.reach_px > 0 and one.glass == other.glass and iou(one.mask, other.mask) >= SAME_SHAPE)


def _mask(found: Shape, photo: tuple[int, int], seen: Guide | None) -> Mask:
    if seen is None:
        return Mask(found.mask.astype(np.uint8) * np.uint8(255))
    pixels = place(seen, found.mask, found.reach_px, photo)
    if found.glass and seen.backdrop is not None:
        size = seen.detail.shape[1::-1]
        colour = np.asarray(cv2.resize(seen.backdrop.colour, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        pixels = softened(pixels, seen.detail, colour)
    return Mask(pixels)
