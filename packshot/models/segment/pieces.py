"""What stands before a plain backdrop: its pieces, its openings, and what clicks say about them.

The photo itself shows them. The network only says which pieces are meant, and which areas of the backdrop's colour are
product: a white label on white paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.models.segment.automatic import iou
from packshot.models.segment.backdrop import Backdrop, Bools
from packshot.types import F32, U8

Click = tuple[float, float, int]
"""A click (x, y, label), label 1 = product, 0 = background."""

CERTAIN = 0.9
"""Pixels with at least this probability are product even if they have the backdrop's colour, such as a white label."""
HOLE = 0.01
"""Holes smaller than this share are filled if the network's mean probability in them is above HOLE_PROBABILITY."""
HOLE_PROBABILITY = 0.3
DOUBTFUL_OPENING = 0.15
"""Below this mean probability, an area of the backdrop's colour is an opening without doubt."""
CRUMB = 0.01
"""Pieces smaller than this share of the largest piece are dropped."""
COVERED = 0.85
"""What stands before a plain backdrop in one piece is product if the mask covers at least this share of it."""
BEYOND = 0.02
"""A piece that goes on outside the user's box, by more than this share of its area inside, is more than the product."""
NEAR_PX = 3
"""A click this near to the border of a piece or of an opening, in pixels of the thumbnail, corrects that border. It
does not say that the whole piece is background or the whole opening product."""
SOFT = 48.0
"""The steepness of a shadow's own fall of light, at most."""
TRUST_IOU = 0.75
"""A refined mask with a smaller IoU with the network's mask is discarded."""


def pieces_before(backdrop: Backdrop, probability: F32, boxed: bool, clicks: Sequence[Click]) -> Bools | None:
    """The pieces before the backdrop that the network means, bool hxw; None when they do not fit the network's mask."""
    y0, y1, x0, x1 = extent(probability > 0)  # outside the box it is exactly 0
    crop = np.s_[y0:y1, x0:x1] if boxed else np.s_[:, :]
    likely, even = probability[crop], backdrop.even[crop]
    coarse = likely > 0.5
    solid = ~even & ~(backdrop.shadow[crop] & (likely < HOLE_PROBABILITY))
    pieces, _, covered = pieces_of(solid.astype(np.uint8), coarse)
    meant = covered >= COVERED
    meant[0] = False
    if boxed and _goes_beyond(backdrop, meant[pieces], (y0, y1, x0, x1)):
        return None
    if iou(meant[pieces] | (coarse & even), coarse) < TRUST_IOU:
        return None
    product, _ = _clicked(pieces, len(meant), clicks, x0 * boxed, y0 * boxed)
    _, background = _clicked(_inner(pieces), len(meant), clicks, x0 * boxed, y0 * boxed)
    if (product & background)[1:].any():  # the piece holds more than the product
        return None
    meant = (meant | product) & ~background
    meant[0] = False
    found = np.zeros(probability.shape, bool)
    found[crop] = meant[pieces] | (coarse & even)
    return found


def _goes_beyond(backdrop: Backdrop, meant: Bools, box: tuple[int, int, int, int]) -> bool:
    """Whether what is meant, bool hxw of the box (y0, y1, x0, x1), goes on outside of it."""
    y0, y1, x0, x1 = box
    whole = (~backdrop.even & ~backdrop.shadow).astype(np.uint8)
    whole[y0:y1, x0:x1] = meant
    pieces, sizes, _ = pieces_of(whole, whole)
    inside = np.bincount(pieces[y0:y1, x0:x1].ravel(), minlength=len(sizes))
    crossing = inside > 0
    crossing[0] = False
    return bool((sizes[crossing] - inside[crossing] > BEYOND * inside[crossing]).any())


def opened(mask: Bools, probability: F32, backdrop: Backdrop, clicks: Sequence[Click]) -> tuple[Bools, Bools | None]:
    """The mask without what shows the backdrop, bool hxw, and the alternative where that is in doubt.

    An area of the backdrop's colour shows the backdrop, unless the network is certain that it is product: white before
    white, or a white label. An area that the mask encloses is an opening or such a label.
    """
    if not mask.any():
        return mask, None
    y0, y1, x0, x1 = extent(mask)
    crop = np.s_[y0:y1, x0:x1]
    outline, likely = without_holes(mask[crop]), probability[crop]
    areas, sizes, likelihood = pieces_of((outline & backdrop.even[crop]).astype(np.uint8), likely)
    certain = np.bincount(areas.ravel(), (likely >= CERTAIN).ravel(), len(sizes)) / np.maximum(sizes, 1)
    outside = cv2.copyMakeBorder((~outline).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    outer = np.zeros(len(sizes), bool)
    outer[areas[cv2.dilate(outside, np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0]] = True
    share = sizes / np.count_nonzero(mask)
    shown = np.where(outer, certain < 0.5, likelihood < np.where(share < HOLE, HOLE_PROBABILITY, CERTAIN))
    _, background = _clicked(areas, len(sizes), clicks, x0, y0)
    product, _ = _clicked(_inner(areas), len(sizes), clicks, x0, y0)
    shown = (shown | background) & ~product
    doubtful = ~outer & ~product & ~background & (share >= HOLE) & (likelihood >= DOUBTFUL_OPENING)
    closed = ~outer & ~shown
    for areas_of_a_kind in (shown, doubtful, closed):
        areas_of_a_kind[0] = False
    found, other = mask.copy(), None
    found[crop] = _without_crumbs((mask[crop] | closed[areas]) & ~shown[areas])
    if doubtful.any():
        other = found.copy()
        other[crop] ^= doubtful[areas]
    return found, other


def without_shadow(mask: Bools, backdrop: Backdrop, steepness: F32) -> Bools:
    """The mask without the shadow that its product casts on the backdrop, bool hxw.

    A shadow begins softly where it meets the backdrop. Grey parts of a product also have a shadow's colour, but an edge
    lies between them and the backdrop. `steepness` is that of the photo's edges.
    """
    soft = (mask & backdrop.shadow & (steepness < SOFT)).astype(np.uint8)
    soft = np.asarray(cv2.morphologyEx(soft, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    areas, sizes, _ = pieces_of(soft, soft)
    beside = cv2.dilate((~mask).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    cast = np.bincount(areas[beside], minlength=len(sizes)) > 0
    cast[0] = False
    if not cast.any():
        return mask
    grown = cv2.dilate(cast[areas].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return _without_crumbs(mask & ~(grown & (backdrop.shadow | backdrop.even)))


def _clicked(areas: NDArray[np.int32], count: int, clicks: Sequence[Click], left: int, top: int) -> tuple[Bools, Bools]:
    """For each of `count` numbers in `areas`, whether it has a product click and whether it has a background click.

    `left` and `top` are the place of `areas` in the picture that was clicked on.
    """
    flags = np.zeros((2, count), bool)
    for x, y, label in clicks:
        row, column = int(y) - top, int(x) - left
        if 0 <= row < areas.shape[0] and 0 <= column < areas.shape[1]:
            flags[0 if label == 1 else 1, areas[row, column]] = True
    return flags[0], flags[1]


def _inner(areas: NDArray[np.int32]) -> NDArray[np.int32]:
    """The areas without what lies within NEAR_PX of their borders."""
    side = 2 * NEAR_PX + 1
    inner = cv2.erode((areas > 0).astype(np.uint8), np.ones((side, side), np.uint8), borderValue=1)
    return np.where(inner > 0, areas, 0)


def without_holes(mask: Bools) -> Bools:
    """The mask with all of its openings filled."""
    around = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(around, None, (0, 0), 2)
    return np.asarray(around[1:-1, 1:-1] != 2, bool)


def _without_crumbs(mask: Bools) -> Bools:
    pieces, sizes, _ = pieces_of(mask.astype(np.uint8), mask)
    kept = sizes >= CRUMB * sizes[1:].max(initial=0)
    kept[0] = False
    return np.asarray(kept[pieces], bool)


def extent(mask: Bools) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1): the mask's bounding box."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def pieces_of(mask: U8, likelihood: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """The number of each pixel's piece (hxw, 0 outside the mask), and the size and mean likelihood of each piece."""
    count, pieces = cv2.connectedComponents(mask, connectivity=4)
    sizes = np.bincount(pieces.ravel(), minlength=count).astype(np.int32)
    return (
        np.asarray(pieces, np.int32),
        sizes,
        np.bincount(pieces.ravel(), likelihood.ravel(), count) / np.maximum(sizes, 1),
    )
