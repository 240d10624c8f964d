"""How a product stands: where it meets the ground, and how obliquely the camera sees the ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from packshot.types import F32, U8

__all__ = ["MAX_PARTS", "Part", "Stand", "contact_line", "parts_of", "stand_of"]

MIN_PART = 0.002
"""Parts smaller than this share of the largest part's area stand nowhere."""
MAX_PARTS = 16
"""Only the largest parts of a layout stand on the ground."""
KEEP_ALPHA = 128
BASE = 0.14
"""The base: the lowest share of a product's height."""
SAG = (0.12, 0.60)
"""Bounds of the foreshortening: a camera 7 to 37 degrees above the ground."""
USUAL_SAG = 0.30
"""The foreshortening that is assumed of a straight base, which shows none."""


@dataclass(frozen=True)
class Part:
    """A connected part of a layout. `shape` is its silhouette, uint8 hxw in {0, 255}; `left`, `top` its place in px."""

    shape: U8
    left: int
    top: int


@dataclass(frozen=True)
class Stand:
    """Where a part meets the ground, in pixels of its silhouette.

    The base spans the columns `first_x` to `last_x`, and its front lies on the row `front_y`. `foreshortening` is how
    many pixels up the picture one pixel of ground goes back, 0..1: the sine of the camera's elevation.
    """

    first_x: float
    last_x: float
    front_y: float
    foreshortening: float

    @property
    def half_px(self) -> float:
        """Half the base's width in pixels."""
        return max(0.5, (self.last_x - self.first_x + 1) / 2)


def parts_of(alpha: U8) -> list[Part]:
    """The connected parts of a layout's alpha (uint8 HxW) that can stand on the ground, the largest first."""
    x, y, wide, high = cv2.boundingRect(alpha)
    if wide == 0:
        return []
    solid = cv2.threshold(alpha[y : y + high, x : x + wide], KEEP_ALPHA - 1, 1, cv2.THRESH_BINARY)[1]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    order = sorted(range(1, count), key=lambda part: -int(stats[part, cv2.CC_STAT_AREA]))[:MAX_PARTS]
    found = []
    for part in order:
        if stats[part, cv2.CC_STAT_AREA] < MIN_PART * stats[order[0], cv2.CC_STAT_AREA]:
            break
        left, top, width, height = (int(stats[part, key]) for key in range(4))
        here = labels[top : top + height, left : left + width] == part
        found.append(Part(here.view(np.uint8) * np.uint8(255), x + left, y + top))
    return found


def stand_of(shape: U8) -> Stand:
    """How a silhouette stands (uint8 hxw in {0, 255}, cropped to the product).

    The camera's height follows from the base's outline: a round base is an ellipse, so its outline rises towards both
    ends. A straight outline shows no angle, and counts as a usual camera's.
    """
    height = shape.shape[0]
    rows = int(height * (1 - BASE))
    columns = np.flatnonzero(shape[rows:].max(axis=0))
    first, last = float(columns[0]), float(columns[-1])
    lowest = height - 1 - np.argmax(shape[::-1, columns] > 0, axis=0).astype(np.float64)
    front = float(np.percentile(lowest, 98))
    half = max(0.5, (last - first + 1) / 2)
    across = np.clip((columns - (first + last) / 2) / half, -1, 1)
    inner = np.abs(across) <= 0.9  # the ends' outline is steep, so it is the least certain
    rise = 1 - np.sqrt(1 - across[inner] ** 2)  # of an ellipse whose front is at 0
    sag = 0.0
    if inner.sum() >= 8 and rise.max() > 0.2:
        sag = float((rise * (front - lowest[inner])).sum() / (rise**2).sum() / half)
    return Stand(first, last, front, float(np.clip(sag, *SAG)) if sag > 0.04 else USUAL_SAG)


def contact_line(shape: U8) -> F32:
    """The row at which each column of a silhouette meets the ground, float32 w, in pixels.

    It is the outline of the base, smoothed. Columns beside the base take the row of its nearest end.
    """
    height = shape.shape[0]
    lowest = (height - 1 - np.argmax(shape[::-1] > 0, axis=0)).astype(np.float32)
    base = np.flatnonzero(lowest >= min(height * (1 - BASE), height - 1))  # of a few rows, the last one
    line = np.interp(np.arange(shape.shape[1]), base, lowest[base]).astype(np.float32)
    smooth = max(1, round(shape.shape[1] * 0.02)) | 1
    return np.asarray(cv2.blur(line[None, :], (smooth, 1), borderType=cv2.BORDER_REPLICATE)[0], np.float32)
