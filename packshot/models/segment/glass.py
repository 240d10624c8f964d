"""Glass before a coloured backdrop: how much of the backdrop shows through the product.

Light that passes through clear glass keeps the backdrop's hue. So the share of that hue in a pixel is the share of the
backdrop. Before white or grey paper this says nothing, because grey glass looks like grey plastic: glass stays opaque
there. An opening also shows the backdrop, but ends at an edge; glass passes softly from its clear middle to its rim.
"""

from __future__ import annotations

import cv2
import numpy as np

from packshot.models.segment.backdrop import Backdrop, Bools
from packshot.types import F32, U8

COLOURED_LEVELS = 60
"""A coloured backdrop's largest and smallest channel differ by at least this many levels."""
CLEAR = 0.05
"""The backdrop shows unchanged in at least this share of clear glass."""
SOFT_EDGE = 0.35
"""Clear areas of glass end at edges that have at most this share of the steepness of the product's outline."""
OPAQUE = 0.9
"""A product with at least this alpha is opaque: noise and faint reflections of the backdrop."""


def is_glass(outline: Bools, backdrop: Backdrop, steepness: F32) -> bool:
    """Whether a product with this outline, bool hxw, is clear glass. `steepness` is that of the photo's edges."""
    colour = cv2.mean(backdrop.colour, outline.astype(np.uint8))[:3]
    if np.ptp(colour) < COLOURED_LEVELS:
        return False
    inside = cv2.erode(outline.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=0) > 0
    clear = inside & backdrop.even
    if np.count_nonzero(clear) < CLEAR * np.count_nonzero(outline):
        return False

    def mean_steepness(mask: Bools) -> float:
        rim = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        return float(steepness[rim].mean()) if rim.any() else 0.0

    return mean_steepness(clear) <= SOFT_EDGE * mean_steepness(outline)


def softened(mask: U8, photo: U8, colour: U8) -> U8:
    """The mask with the glass's alpha, uint8 HxW: 255 less the share of the backdrop that shows through.

    `mask` is uint8 HxW of 0 and 255. `photo` and the backdrop's `colour` are uint8 hxwx3 RGB of one size, which may be
    smaller than the mask's.
    """
    hue, lit = (picture.astype(np.float32) for picture in (photo, colour))
    hue -= hue.mean(2, keepdims=True)
    lit -= lit.mean(2, keepdims=True)
    through = np.einsum("hwc,hwc->hw", hue, lit) / np.maximum(np.einsum("hwc,hwc->hw", lit, lit), 1)
    alpha = 1 - np.clip(through, 0, 1)
    alpha[alpha >= OPAQUE] = 1
    large = cv2.resize(alpha.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(large * mask), np.uint8)
