"""Simulated prompts: a tight box, the deepest point, points spread over the product, and corrections.

Points are (x, y, label) in pixels, with label 1 = product and 0 = background. Masks are bool HxW. All functions are
deterministic.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Point = tuple[float, float, int]


def box_of(mask: Bits) -> tuple[float, float, float, float]:
    """The tight box of a mask, XYXY in pixels, with exclusive right and bottom."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def depth_in(mask: Bits) -> NDArray[np.float32]:
    """The distance of each pixel to the mask's border in pixels, HxW. The picture's edge counts as a border."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth: NDArray[np.float32] = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return depth


def deepest(mask: Bits, label: int = 1) -> Point:
    """The point farthest from the mask's border."""
    y, x = np.unravel_index(int(depth_in(mask).argmax()), mask.shape)
    return float(x), float(y), label


def spread(mask: Bits, count: int = 3) -> tuple[Point, ...]:
    """The deepest point, and then points that are farthest from the previous ones, at least a third as deep as it."""
    depth = depth_in(mask)
    ys, xs = np.nonzero(depth >= depth.max() / 3)
    points = [deepest(mask)]
    away = np.full(len(xs), np.inf)
    while len(points) < count:
        away = np.minimum(away, np.hypot(xs - points[-1][0], ys - points[-1][1]))
        farthest = int(away.argmax())
        points.append((float(xs[farthest]), float(ys[farthest]), 1))
    return tuple(points)


def correction(found: Bits, truth: Bits) -> Point | None:
    """The click with which a person would correct a mask; None when the mask is correct.

    It is the deepest point of the largest wrong region, missed or leaked.
    """
    best: tuple[int, Bits, int] | None = None
    for wrong, label in ((truth & ~found, 1), (found & ~truth, 0)):
        _, pieces, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=4)
        if len(stats) < 2:
            continue
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        area = int(stats[largest, cv2.CC_STAT_AREA])
        if best is None or area > best[0]:
            best = (area, pieces == largest, label)
    return None if best is None else deepest(best[1], best[2])
