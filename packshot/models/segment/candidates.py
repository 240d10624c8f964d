"""From a network's masks to the candidates of an answer, best first, each with its border on the photo's edges.

A candidate is a draft until the order is known: only the candidates of the answer have their borders placed. Nearly
equal ones are listed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from packshot.models.segment.automatic import iou, product_on_backdrop
from packshot.models.segment.backdrop import Bools
from packshot.models.segment.calibration import Expected, settled
from packshot.models.segment.glass import softened
from packshot.models.segment.ground import likelier
from packshot.models.segment.pieces import Click
from packshot.models.segment.refine import Box, Guide, Shape, box_fit, place, shape, union, within_box
from packshot.types import F32, Mask, MaskCandidate, Prompts

ALTERNATIVE = 0.95
"""The least score of the best candidate's alternative, as a share of that candidate's."""
FAVOUR = 0.9
"""The first answer to an unambiguous prompt is preferred if it has at least this share of any answer's evidence."""
SAME_SHAPE = 0.98
"""Shapes with a larger IoU are the same answer: they differ by where their borders lie before these are placed."""
WIDER = 0.02
"""A mask without a prompt is asked again with its own box, wider by this share of its sides at each side."""
REFINERS = ThreadPoolExecutor(3, thread_name_prefix="refine")
"""Threads that refine a click's candidates in parallel, because OpenCV releases the GIL. They run no torch kernels."""


@dataclass(frozen=True)
class Draft:
    """A candidate before its border is placed. `shape.mask` has the thumbnail's size if masks are refined.

    `score` is the predicted IoU. `evidence` is what speaks for the draft apart from the network's opinion, 0..1: how
    well it fits the user's box, and how strong the photo's edges along its border are. `exact` takes longer to compute
    a rough shape again, for the best candidate.
    """

    shape: Shape
    score: float
    evidence: float = 1.0
    exact: Callable[[], Shape] | None = None


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
    exact = partial(shape, seen, probability, boxed=box is not None, clicks=clicks)
    found = exact(rough=True)
    fit = box_fit(found.bbox_xyxy(photo), box) if box is not None else 1.0
    evidence = fit * found.support**0.5
    return Draft(found, score * evidence, evidence, exact if found.rough else None)


def before_backdrop(seen: Guide) -> list[Draft]:
    """The draft of everything before the photo's plain backdrop, if it has one."""
    product = None if seen.backdrop is None else product_on_backdrop(seen.backdrop)
    if seen.backdrop is None or product is None:
        return []
    found = shape(seen, product)
    return [Draft(found, seen.backdrop.plain * found.support**0.5)]


def around(box: Box, photo: tuple[int, int]) -> Box:
    """A mask's box XYXY, made wider by WIDER, within the photo of size (H, W)."""
    across, down = WIDER * (box[2] - box[0]), WIDER * (box[3] - box[1])
    return (
        max(0.0, box[0] - across),
        max(0.0, box[1] - down),
        min(float(photo[1]), box[2] + across),
        min(float(photo[0]), box[3] + down),
    )


def reconsidered(first: Draft, again: Draft, seen: Guide) -> Draft:
    """The draft `first`, with the shape of `again` where the photo's colours speak for that one."""
    before, after = exact_shape(first), exact_shape(again)
    better = likelier(seen.thumbnail, before.mask, after.mask)
    return replace(first, shape=after if better else before, exact=None)


def joined(drafts: Sequence[Draft]) -> Draft:
    """The union of a product's parts, with the lowest of their scores."""
    score, evidence = min(draft.score for draft in drafts), min(draft.evidence for draft in drafts)
    return Draft(
        union([draft.shape for draft in drafts]), score, evidence, lambda: union(list(map(exact_shape, drafts)))
    )


def exact_shape(draft: Draft) -> Shape:
    """The draft's shape, with GrabCut's say."""
    return draft.shape if draft.exact is None else draft.exact()


def favoured(drafts: Sequence[Draft]) -> Draft:
    """The first draft, with the best score of all, unless the evidence speaks clearly for another one.

    A small network is trained to give its best answer to an unambiguous prompt as the first one, but predicts its
    scores badly.
    """
    first = drafts[0]
    if not first.score or first.evidence < FAVOUR * max(draft.evidence for draft in drafts):
        return first
    return replace(first, score=max(draft.score for draft in drafts))


def mended(drafts: Sequence[Draft], prompts: Prompts, photo: tuple[int, int]) -> list[Draft]:
    """The drafts, changed from the prompt's mask only where its clicks ask for it. `photo` is the photo's (H, W)."""
    height, width = drafts[0].shape.mask.shape
    assert prompts.mask is not None
    before = cv2.resize(prompts.mask.pixels, (width, height), interpolation=cv2.INTER_AREA) > 127
    across, down = width / photo[1], height / photo[0]
    clicks = [(x * across, y * down, label) for x, y, label in prompts.points]
    return [corrected(draft, before, clicks) for draft in drafts]


def corrected(draft: Draft, before: Bools, clicks: Sequence[Click]) -> Draft:
    """The mask `before` with only those changes of the draft that a click asks for; the draft if it asks for none.

    `before` is bool hxw of the thumbnail's size, and `clicks` are in its pixels. A correction must not undo what was
    right elsewhere.
    """
    exact = partial(_corrected, before=before, clicks=clicks)
    return replace(draft, shape=exact(draft.shape), exact=lambda: exact(exact_shape(draft)))


def _corrected(found: Shape, before: Bools, clicks: Sequence[Click]) -> Shape:
    height, width = found.mask.shape
    changes = cv2.connectedComponents((found.mask ^ before).astype(np.uint8), connectivity=4)[1]
    asked = np.zeros(int(changes.max()) + 1, bool)
    for x, y, label in clicks:
        row, column = min(int(y), height - 1), min(int(x), width - 1)
        asked[changes[row, column]] |= bool(found.mask[row, column]) == (label == 1)
    asked[0] = False
    return replace(found, mask=before ^ asked[changes], other=None, corrected=True) if asked.any() else found


def finished(
    drafts: Sequence[Draft],
    most: int,
    photo: tuple[int, int],
    seen: Guide | None,
    expected: Expected | None = None,
) -> list[MaskCandidate]:
    """At most `most` different candidates, best first, with masks of the photo's size (H, W) `photo`.

    Of nearly equal drafts only the best is kept. The best draft's alternative, if it has one, follows it. Without
    `seen` the drafts' masks have the photo's size. `expected` turns their scores into expected IoUs, without which
    they stay.
    """
    ordered = _different(sorted(drafts, key=lambda draft: -draft.score))
    best = exact_shape(ordered[0])
    ordered[0] = replace(ordered[0], shape=best)
    if best.other is not None:
        alternative = replace(best, mask=best.other, other=None)
        rest = [draft for draft in ordered[1:] if not _same(draft.shape, alternative)]
        score = max([ALTERNATIVE * ordered[0].score, *(draft.score for draft in rest)])
        ordered = [ordered[0], Draft(alternative, score), *rest]
    ordered = ordered[:most]
    best_only = [place == 0 for place in range(len(ordered))]
    masks = list(REFINERS.map(lambda draft, best: _mask(draft.shape, photo, seen, best=best), ordered, best_only))
    scores = [draft.score for draft in ordered]
    if expected is not None:
        likeness = settled(best.mask, masks[0].pixels)
        scores = [expected(draft.score, likeness) if draft.shape.mask.any() else 0.0 for draft in ordered]
    return [MaskCandidate(mask, score) for mask, score in zip(masks, scores, strict=True)]


def _different(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts without those that are nearly equal to an earlier one. There is at most one empty mask."""
    kept: list[Draft] = []
    for draft in drafts:
        if not any(_same(draft.shape, one.shape) for one in kept):
            kept.append(draft)
    return kept


def _same(one: Shape, other: Shape) -> bool:
    """Whether a person would see no difference between two shapes."""
    if one is other or iou(one.mask, other.mask) > SAME_SHAPE:
        return one.glass == other.glass
    return not one.mask.any() and not other.mask.any()


def _mask(found: Shape, photo: tuple[int, int], seen: Guide | None, *, best: bool) -> Mask:
    """The mask of a shape. The border of the `best` candidate is placed with the most care."""
    if seen is None:
        return Mask(found.mask.astype(np.uint8) * np.uint8(255))
    pixels = place(seen, found.mask, found.reach_px, photo, ellipses=best and not found.corrected, hasty=not best)
    if found.glass and seen.backdrop is not None:
        size = seen.detail.shape[1::-1]
        colour = np.asarray(cv2.resize(seen.backdrop.colour, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        pixels = softened(pixels, seen.detail, colour)
    return Mask(pixels)
