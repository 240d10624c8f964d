"""Whether product and scene are too alike along the outline for the eye to tell them apart."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.contract.verdict import Finding
from packshot.types import F32
from packshot.verdict.colours import apart
from packshot.verdict.seen import Seen, share_box

__all__ = ["indistinct_finding"]

RIM_PX = (1.5, 5.0)
"""The rings inside and outside of the outline that are compared: from and to, pixels. Nearer, the two are mixed."""
ALIKE_LEVELS = 7.0
"""Difference of two colours in CIE L*a*b* up to which they look alike."""
MAX_ALIKE = 0.5
"""Share of the outline along which the two may look alike."""


def indistinct_finding(seen: Seen) -> Finding:
    """Compare the product with what is behind it, along its outline.

    It fails when they look alike over more than half of the outline. The value is this share. The box spans the part of
    the outline that cannot be seen.
    """
    outside = _ring(seen.distance)
    within = np.asarray(cv2.distanceTransform(seen.product.astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    inside = _ring(within)
    outline = cv2.morphologyEx(seen.product.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    outline &= seen.product & _inner(seen.product.shape)
    if not outline.any() or not outside.any() or not inside.any():
        return Finding("indistinct", "ok", "no outline of the product lies within the picture", 0.0)
    behind, behind_seen = _nearby(seen.picture, outside)
    before, before_seen = _nearby(seen.picture, inside)
    known = outline & behind_seen & before_seen
    if not known.any():
        return Finding("indistinct", "ok", "the product is too small to be compared with its scene", 0.0)
    alike = known & (apart(behind, before) <= ALIKE_LEVELS)
    share = int(np.count_nonzero(alike)) / int(np.count_nonzero(known))
    if share <= MAX_ALIKE:
        return Finding("indistinct", "ok", f"product and scene look alike along {share:.0%} of the outline", share)
    rows, columns = np.flatnonzero(alike.any(axis=1)), np.flatnonzero(alike.any(axis=0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1)
    detail = f"product and scene look alike along {share:.0%} of the outline; ask for another ground or background"
    return Finding("indistinct", "failed", detail, share, share_box(box, seen.size))


def _ring(distance: F32) -> NDArray[np.bool_]:
    return np.asarray((distance >= RIM_PX[0]) & (distance <= RIM_PX[1]), np.bool_)


def _inner(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """All pixels but those at the picture's edge, behind which nothing is seen."""
    found = np.zeros(shape, np.bool_)
    found[3:-3, 3:-3] = True
    return found


def _nearby(picture: F32, where: NDArray[np.bool_]) -> tuple[F32, NDArray[np.bool_]]:
    """The mean colour of the nearby pixels of a ring, for each pixel, and whether there are any."""
    side = 2 * int(RIM_PX[1]) + 1
    weight = where.astype(np.float32)
    total = cv2.boxFilter(picture * weight[..., None], -1, (side, side), normalize=False)
    count = cv2.boxFilter(weight, -1, (side, side), normalize=False)
    return np.asarray(total / np.maximum(count, 1)[..., None], np.float32), np.asarray(count > 0.5, np.bool_)
