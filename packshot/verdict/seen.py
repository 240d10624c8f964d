"""A small copy of a finished picture, in which the defects of its scene are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import F32, U8, BoxXYXY, Flat
from packshot.verdict.colours import lab

__all__ = ["Seen", "share_box"]

SEEN_PX = 256
"""Longer side at which defects are looked for, pixels."""

ShareBox = tuple[float, float, float, float]


@dataclass(frozen=True)
class Seen:
    """Everything has one size, at most SEEN_PX.

    `rgb`, `picture` and `scene` are float32 hxwx3 in CIE L*a*b*: the product's colours, the finished picture, and the
    painted scene without its product. `cover` is the product's alpha, uint8 hxw. `box` is the product's, XYXY pixels.
    """

    rgb: F32
    picture: F32
    scene: F32
    cover: U8
    box: BoxXYXY

    @classmethod
    def of(cls, flat: Flat, picture: U8, scene: U8) -> Seen | None:
        """The small copy of a picture and its scene, uint8 HxWx3 RGB of the layout's size; None without a product."""
        height, width = flat.alpha.shape
        scale = min(1.0, SEEN_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(flat.pixels, size, interpolation=cv2.INTER_AREA)
        cover = np.ascontiguousarray(small[..., 3])
        solid = cover >= 128
        if not solid.any():
            return None
        rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        shown, painted = (
            lab(np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.uint8))
            for one in (picture[..., :3], scene)
        )
        return cls(lab(np.asarray(small[..., :3], np.uint8)), shown, painted, cover, box)

    @cached_property
    def product(self) -> NDArray[np.bool_]:
        """The pixels that are at least half product, bool hxw."""
        return self.cover >= 128

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.cover.shape[1], self.cover.shape[0]

    @cached_property
    def distance(self) -> F32:
        """The distance of each pixel from the product, in pixels."""
        return np.asarray(cv2.distanceTransform((~self.product).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def share_box(box: tuple[float, float, float, float], size: tuple[int, int]) -> ShareBox:
    """A box in pixels as shares of a picture of `size` (width, height), kept within it."""
    width, height = size
    x0, x1 = (round(min(max(side / width, 0.0), 1.0), 4) for side in (box[0], box[2]))
    y0, y1 = (round(min(max(side / height, 0.0), 1.0), 4) for side in (box[1], box[3]))
    return x0, y0, x1, y1
