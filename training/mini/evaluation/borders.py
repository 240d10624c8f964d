"""How far the border of a found mask is from the true one. Masks are bool HxW; distances are pixels of the photo.

A border pixel belongs to the mask and touches a pixel outside it, above, below, at its left or at its right. The
picture's frame is no border, so a product that the frame cuts has none there.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
WITHIN_PX = 3.0


def border(mask: Bits) -> Bits:
    """The border pixels of a mask, bool HxW."""
    solid = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.asarray(mask & (cv2.erode(solid, cross, borderValue=1) == 0))


def boundary_f(found: Bits, truth: Bits, within_px: float = WITHIN_PX) -> float:
    """The F measure of the found border, 0..1.

    Precision is the share of found border pixels within `within_px` of the true border, and recall the share of true
    border pixels within `within_px` of the found border. 1 when neither mask has a border, 0 when only one has.
    """
    distances = _both_ways(found, truth)
    if distances is None:
        return float(border(found).any() == border(truth).any())
    precision, recall = (float((away <= within_px).mean()) for away in distances)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def border_error_px(found: Bits, truth: Bits) -> float:
    """The mean distance of the found border to the true one and of the true border to the found one, their mean.

    When only one mask has a border, the error is the picture's diagonal.
    """
    distances = _both_ways(found, truth)
    if distances is None:
        return 0.0 if border(found).any() == border(truth).any() else float(np.hypot(*truth.shape))
    return float(np.mean([away.mean() for away in distances]))


def _both_ways(found: Bits, truth: Bits) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Distances of found border pixels to the true border, and the reverse. None when a mask has no border."""
    one, other = border(found), border(truth)
    if not (one.any() and other.any()):
        return None
    crop = _around(one | other)
    return _distances(one[crop], other[crop]), _distances(other[crop], one[crop])


def _around(mask: Bits) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _distances(one: Bits, other: Bits) -> NDArray[np.float32]:
    """The distance of each pixel of `one` to the nearest pixel of `other`."""
    away = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away[one], np.float32)
