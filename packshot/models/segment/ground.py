"""What a mask holds of the ground: gravel between the legs of pliers, brick inside a frame, grass under a lamp's shade.

Outside the user's box there is only ground. So the colours there tell how much of the mask is ground as well:

    colours inside = share x colours of the ground + (1 - share) x colours of the product

The share is what most of the ground's colours have in common. A product of the ground's own colours would vanish; so
the caller keeps the new mask only if its border lies on stronger edges.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.models.segment.backdrop import Bools
from packshot.types import F32, U8

F64 = NDArray[np.float64]

LEVELS = 16
"""Colours are counted in bins of this many to a channel, and blurred over neighbouring bins."""
BLUR = (0.0096, 0.2054, 0.57, 0.2054, 0.0096)
COMMON = 0.35
"""The share of the ground's pixels whose colours may be rarer in the mask than the ground's share says: the mask may
hold one kind of ground of several."""
RARE = 1e-5
"""Rarer colours of the ground say nothing."""
LEAST_OUTSIDE = 0.1
"""The least share of the picture outside the box by which the ground is known."""
LEAST_CHANGE, LEAST_LEFT = 0.01, 0.1
"""A change of less than this share of the mask is not worth a second cut; with less left, the product was taken for
ground."""
LEAST_OPENING, DOUBTED, EDGE_OF_OPENING = 0.005, 0.75, 0.8
"""An opening's least share of the mask, the network's mean probability of product in it, which is below this, and its
edges' least share of the steepness of the mask's border."""
LEAST_RUN = 0.03
"""Ground leaks in through a side of the box along at least this share of the mask's border."""
SMOOTH, EDGE_PX = 0.25, 2
"""What leaks in has at most this share of the steepness of the mask's border. It ends this many pixels before an
edge's middle, because edges are blurred."""
LARGEST_LEAK, LEAK_GAIN = 0.2, 1.02
"""A leak's largest share of the mask, and the factor by which the border is steeper without it."""
LIKELIER = 3.0
"""The factor, as a geometric mean, by which colours are more common where a mask puts them than where another does."""


def without_ground(picture: U8, likelihood: F32) -> F32 | None:
    """The likelihood of product, float32 hxw, less where a colour is the ground's; None when the mask holds no ground.

    `picture` is uint8 hxwx3 RGB. `likelihood` is the network's, 0 outside the user's box.
    """
    outside = likelihood == 0
    if np.count_nonzero(outside) < LEAST_OUTSIDE * outside.size:
        return None
    colour = _colours(picture)
    inside, ground = _histogram(colour, likelihood), _histogram(colour[outside])
    known = ground > RARE
    ratio, weight = inside[known] / ground[known], ground[known]
    order = np.argsort(ratio)
    share = ratio[order][np.searchsorted(np.cumsum(weight[order]), COMMON * weight.sum())]
    product = np.clip(1 - min(1.0, float(share)) * ground / np.maximum(inside, 1e-12), 0, 1)
    cleaned = likelihood * cv2.GaussianBlur(product.astype(np.float32)[colour], (0, 0), 1.0)
    before, after = np.count_nonzero(likelihood > 0.5), np.count_nonzero(cleaned > 0.5)
    return cleaned if LEAST_LEFT * before <= after <= (1 - LEAST_CHANGE) * before else None


def with_openings(mask: U8, cleaned: U8, likelihood: F32, steepness: F32, border: float) -> U8:
    """`mask` with the openings that `cleaned`, the mask without the ground's colours, has in it: uint8 hxw of 0 and 1.

    An opening ends at edges of the photo, about as steep as those along the mask's border, whose mean is `border`.
    The network doubts that it is product: a label of the ground's colour stays.
    """
    kernel = np.ones((3, 3), np.uint8)
    _, areas, stats, _ = cv2.connectedComponentsWithStats(mask & (1 - cleaned), connectivity=4)
    opened = mask.copy()
    for number, (x, y, width, height, size) in enumerate(stats[1:], 1):
        if size < LEAST_OPENING * np.count_nonzero(mask):
            continue
        at = np.s_[max(0, y - 1) : y + height + 1, max(0, x - 1) : x + width + 1]
        area = (areas[at] == number).astype(np.uint8)
        grown = cv2.dilate(area, kernel)
        rim = (grown > 0) & (cv2.erode(area, kernel, borderValue=0) == 0)
        enclosed = bool(mask[at][grown > 0].all())
        doubted = float(likelihood[at][area > 0].mean()) < DOUBTED
        if enclosed and doubted and float(steepness[at][rim].mean()) >= EDGE_OF_OPENING * border:
            opened[at][area > 0] = 0
    return opened


def without_leak(mask: U8, likelihood: F32, steepness: F32) -> U8:
    """`mask` without the ground that a too large box lets in, uint8 hxw of 0 and 1.

    A product ends at edges of the photo. Where a mask ends at a side of the box instead, and the photo is smooth from
    there inwards, the ground or a shadow on it has the product's colours. `likelihood` is 0 outside the box.
    """
    kernel = np.ones((3, 3), np.uint8)
    outside = cv2.dilate((likelihood == 0).astype(np.uint8), kernel)
    rim = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel) > 0
    border = float(steepness[rim].mean()) if rim.any() else 0.0
    smooth = mask & (steepness < SMOOTH * border)
    _, areas = cv2.connectedComponents(smooth, connectivity=4)
    touching = areas[(outside > 0) & (smooth > 0)]
    if 2 * len(touching) < LEAST_RUN * np.count_nonzero(rim):
        return mask
    leak = np.isin(areas, np.unique(touching)).astype(np.uint8)
    ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * EDGE_PX + 1, 2 * EDGE_PX + 1))
    kept = cv2.morphologyEx(mask & (1 - cv2.dilate(leak, ring)), cv2.MORPH_OPEN, ring)
    if np.count_nonzero(kept) < (1 - LARGEST_LEAK) * np.count_nonzero(mask):
        return mask
    rim = cv2.morphologyEx(kept, cv2.MORPH_GRADIENT, kernel) > 0
    return kept if float(steepness[rim].mean()) >= LEAK_GAIN * border else mask


def likelier(picture: U8, mask: Bools, other: Bools) -> bool:
    """Whether the photo's colours speak clearly for `other` rather than for `mask`, bool hxw.

    Both agree on some of the product and of the ground. A pixel in which they differ belongs where its colour is more
    common.
    """
    product, ground, differ = mask & other, ~(mask | other), mask ^ other
    if not (product.any() and ground.any() and differ.any()):
        return False
    colour = _colours(picture)
    shares = [_histogram(colour[area]) + RARE for area in (product, ground)]
    evidence = np.log(shares[0] / shares[1])[colour[differ]]
    return bool(np.where(other[differ], evidence, -evidence).mean() >= np.log(LIKELIER))


def _colours(picture: U8) -> NDArray[np.int32]:
    """The bin of each pixel's colour, int32 hxw in 0..LEVELS³ - 1."""
    red, green, blue = np.moveaxis((picture // (256 // LEVELS)).astype(np.int32), 2, 0)
    return np.asarray((red * LEVELS + green) * LEVELS + blue, np.int32)


def _histogram(colour: NDArray[np.int32], weight: F32 | None = None) -> F64:
    """The share of each colour, blurred, float64 (LEVELS³,)."""
    flat = None if weight is None else weight.ravel()
    counted = np.bincount(colour.ravel(), flat, LEVELS**3).astype(np.float64).reshape((LEVELS,) * 3)
    blurred = _blurred(counted).ravel()
    return np.asarray(blurred / max(1e-12, blurred.sum()))


def _blurred(counts: F64) -> F64:
    """Counts of colours, blurred over the bins of all three channels."""
    for axis in range(3):
        padded = np.pad(np.moveaxis(counts, axis, 0), [(2, 2), (0, 0), (0, 0)])
        summed = np.asarray(sum(share * padded[shift : shift + LEVELS] for shift, share in enumerate(BLUR)), np.float64)
        counts = np.moveaxis(summed, 0, axis)
    return counts
