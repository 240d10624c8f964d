"""The camera's path: where each point of a picture is seen at each moment of a move.

A point at disparity r is seen at anchor + zoom * ((point - anchor) / (1 - dolly * r) + (slide * (r - fixed), 0)). This
is a pinhole camera that moves forward, by `dolly` times its distance to the product, or sideways.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from packshot.contract.clips import Move
from packshot.types import F32, BoxXYXY

__all__ = ["Camera", "Pose", "camera_for"]

DOLLY = 0.14
"""How far `push_in` goes, as a share of the distance to the product."""
SLIDE = {"orbit": 0.05, "pan": 0.03}
"""How far the camera moves to each side: what a point at disparity 1 moves, as a share of the picture's longer side."""
FULL_S = 3.0
"""A shorter clip moves less, so that it is no faster."""
MARGIN = 0.01
"""What stays free between the product and the frame, as a share of the longer side, if it was free in the picture."""
ANCHOR = (0.35, 0.65)
"""Bounds of the anchor, as shares of the picture's sides: a zoom about the border would show what lies beyond it."""


@dataclass(frozen=True)
class Pose:
    """The camera at one moment: how far it went forward (a share of the distance to the product), and `slide` in px."""

    dolly: float = 0.0
    slide_px: float = 0.0


@dataclass(frozen=True)
class Camera:
    """A camera's whole path before a picture. Points are (x, y) in the picture's pixels.

    `anchor` is the point that forward moves aim at. `zoom` is constant; it keeps the picture's border out of sight.
    `fixed` is the disparity of what stays in place when the camera slides: 1 = the product, 0 = the horizon.
    """

    move: Move
    anchor: tuple[float, float]
    zoom: float
    fixed: float
    reach: Pose

    @property
    def loops(self) -> bool:
        """Whether the path ends where it begins."""
        return self.move == "orbit"

    def pose(self, time: float) -> Pose:
        """The camera at a `time` from 0 (the first frame) to 1 (the end). It starts and ends softly."""
        if self.move == "orbit":
            along = math.sin(2 * math.pi * time)
        elif self.move == "pan":
            along = -math.cos(math.pi * time)
        else:
            along = (1 - math.cos(math.pi * time)) / 2
        return Pose(self.reach.dolly * along, self.reach.slide_px * along)

    def product_affine(self, pose: Pose) -> tuple[float, float, float]:
        """Where the product is seen: (scale, x, y), a picture's point p is seen at scale * p + (x, y)."""
        scale = self.zoom / (1 - pose.dolly)
        slide = self.zoom * pose.slide_px * (1 - self.fixed)
        return scale, self.anchor[0] * (1 - scale) + slide, self.anchor[1] * (1 - scale)

    def seen_from(self, x: F32, y: F32, disparity: F32, pose: Pose) -> tuple[F32, F32]:
        """The picture's points that are seen at (x, y), if their disparity is as given. All arrays have one shape."""
        near = 1 - pose.dolly * disparity
        across = (x - self.anchor[0]) / self.zoom - pose.slide_px * (disparity - self.fixed)
        down = (y - self.anchor[1]) / self.zoom
        return (
            np.asarray(self.anchor[0] + across * near, np.float32),
            np.asarray(self.anchor[1] + down * near, np.float32),
        )


def camera_for(
    move: Move, seconds: float, size: tuple[int, int], product: BoxXYXY, disparity: tuple[float, float]
) -> Camera:
    """The path of a move before a picture of `size` (width, height) with its product in the box `product`.

    `disparity` is the scene's least and largest. No frame shows what lies beyond the picture's border, and a product
    that the picture shows whole stays whole.
    """
    width, height = size
    longer = max(size)
    x0, y0, x1, y1 = product
    low, high = ANCHOR
    anchor = (
        float(np.clip((x0 + x1) / 2, low * width, high * width)),
        float(np.clip((y0 + y1) / 2, low * height, high * height)),
    )
    share = min(1.0, seconds / FULL_S)
    free = _largest_scale(size, product, anchor, MARGIN * longer)
    if move == "push_in":
        dolly = min(DOLLY * share, max(0.03, 1 - 1 / free))
        return Camera(move, anchor, 1.0, 1.0, Pose(dolly=dolly))
    fixed = 1.0 if move == "orbit" else 0.0
    farthest = max(abs(disparity[0] - fixed), abs(disparity[1] - fixed))
    beside = min(anchor[0], width - anchor[0])
    slide = SLIDE[move] * longer * share
    # the margin that a slide needs scales the product, too: slide less rather than cut the product off
    while slide > 0.005 * longer and beside / (beside - slide * farthest) > max(free, 1.03):
        slide *= 0.9
    return Camera(move, anchor, beside / (beside - slide * farthest), fixed, Pose(slide_px=slide))


def _largest_scale(size: tuple[int, int], product: BoxXYXY, anchor: tuple[float, float], margin_px: float) -> float:
    """The largest scale about the anchor that keeps the product's box inside the picture, at least 1."""
    rooms = []
    for side, first, last, at in zip(size, product[:2], product[2:], anchor, strict=True):
        rooms += [(at - margin_px) / max(at - first, 1.0), (side - margin_px - at) / max(last - at, 1.0)]
    return max(1.0, min(rooms))
