"""Repaint a part of a finished picture: the region, the crop around it that the engine paints, and the seam.

    picture ──grown──> base ──crop at `painted_box`──> engine ──> render
    base + render + region ──blend──> picture, whose pixels outside the region are the base's own

A region is uint8 HxW, 255 = repaint, 0 = keep.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.contract.touchup_spec import Margins
from packshot.types import F32, U8, BoxXYXY

__all__ = ["blend", "crop_around", "grown", "margins_region", "mark_region", "painted_box", "widened"]

SOFT_PX = 12
"""Width of the band around a region whose colours the painted pixels meet, in pixels."""
SOFT_OF_PICTURE = 0.03
"""Width of the soft border inside a region, as a share of the picture's longer side. A small region's is narrower."""
SOFT_SHARE = 0.35
"""Widest soft border, as a share of the distance from the region's border to its middle."""
CONTEXT = 0.5
"""Context on each side of a region that the engine sees, as a share of the region's longer side."""
MIN_CONTEXT_PX = 32
LEAST_NATIVE, LEAST_OF_PICTURE = 0.5, 0.6
"""The shortest crop, as a share of the engine's native side, and of the picture's longer side, whichever is longer.

A small region so has more of the engine's pixels than in the whole picture, and the engine still sees the scene.
"""
MAX_ASPECT = 1.25
"""Largest aspect ratio of a crop, where the picture has room for it: the buckets of every pack have about this one."""
MAX_SHIFT = 40.0
"""Most levels by which a painted region's colours are shifted to meet those around it."""
PEN_SHARE, POINT_SHARE = 0.02, 0.04
"""The radius of a pen line and of a point, as shares of the picture's longer side."""
CLOSED_SHARE = 0.1
"""A pen line whose ends are nearer than this share of its length encloses its region."""


def grown(picture: U8, margins: Margins) -> U8:
    """The picture with margins, uint8 HxWx3. They repeat its border until the engine paints them."""
    around = margins.top, margins.bottom, margins.left, margins.right
    return np.asarray(cv2.copyMakeBorder(picture, *around, cv2.BORDER_REFLECT_101), np.uint8)


def margins_region(region: U8, margins: Margins) -> U8:
    """A region of the picture as a region of the grown picture: the margins belong to it."""
    around = margins.top, margins.bottom, margins.left, margins.right
    return np.asarray(cv2.copyMakeBorder(region, *around, cv2.BORDER_CONSTANT, value=(255,)), np.uint8)


def mark_region(size: tuple[int, int], marks: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> U8:
    """The region that a reviewer's marks show, in a picture of `size` (width, height) pixels.

    Each mark is (kind, points), with points as fractions of the width and height: a `rect` is filled, a `pen` line is a
    brush, or is filled when it is closed, and a `point` is a disc.
    """
    width, height = size
    region = np.zeros((height, width), np.uint8)
    for kind, points in marks:
        at = np.array(points, np.float64) * (width - 1, height - 1)
        line = np.rint(at).astype(np.int32)
        if kind == "rect":
            (x0, y0), (x1, y1) = line.min(axis=0), line.max(axis=0)
            region[y0 : y1 + 1, x0 : x1 + 1] = 255
        elif kind == "pen":
            length = float(np.hypot(*np.diff(at, axis=0).T).sum())
            if len(line) > 2 and math.dist(at[0], at[-1]) < CLOSED_SHARE * length:
                cv2.fillPoly(region, [line], 255)
            radius = max(1, round(PEN_SHARE * max(size)))
            cv2.polylines(region, [line.reshape(-1, 1, 2)], isClosed=False, color=255, thickness=2 * radius)
        else:
            cv2.circle(region, (int(line[0, 0]), int(line[0, 1])), max(1, round(POINT_SHARE * max(size))), 255, -1)
    return region


def painted_box(region: U8, native: tuple[int, int]) -> BoxXYXY:
    """The crop that the engine paints for a region: the region with context, as nearly square as the picture allows.

    `native` is the engine's (width, height) in pixels. The region must hold a pixel.
    """
    height, width = region.shape
    return crop_around(cv2.boundingRect(region), (width, height), native)


def crop_around(part: Sequence[int], size: tuple[int, int], native: tuple[int, int]) -> BoxXYXY:
    """`painted_box` of a part (x, y, width, height) of a picture of `size` (width, height), in pixels."""
    (x, y, columns, rows), (width, height) = part, size
    context = max(MIN_CONTEXT_PX, CONTEXT * max(columns, rows))
    least = max(LEAST_NATIVE * max(native), LEAST_OF_PICTURE * max(width, height))
    wanted_w, wanted_h = max(columns + 2 * context, least), max(rows + 2 * context, least)
    longer = max(wanted_w, wanted_h)
    wanted_w, wanted_h = max(wanted_w, longer / MAX_ASPECT), max(wanted_h, longer / MAX_ASPECT)
    x0, x1 = _span(x, columns, wanted_w, width)
    y0, y1 = _span(y, rows, wanted_h, height)
    return x0, y0, x1, y1


def _span(start: int, length: int, wanted: float, most: int) -> tuple[int, int]:
    """A span of `wanted` pixels about a part, inside 0..`most`."""
    side = min(most, max(length, math.ceil(wanted)))
    first = min(max(0, start + length // 2 - side // 2), most - side)
    return first, first + side


def widened(region: U8, by_px: int) -> U8:
    """The region grown by `by_px` pixels on all sides."""
    if by_px < 1:
        return region
    return np.asarray(cv2.dilate(region, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by_px + 1,) * 2)), np.uint8)


def blend(base: U8, painted: U8, region: U8, apart: U8 | None = None) -> U8:
    """`painted` inside the region and `base` outside, without a seam; all of one size, uint8 HxWx3 and HxW.

    The painted colours are shifted by a smooth field so that they meet the base's at the region's border, as Poisson
    blending does, and the last pixels inside the border fade. Pixels outside the region are the base's own. `apart`
    (uint8 HxW, not 0) are pixels of the base that the region need not meet, such as a product's.
    """
    if not region.any():
        return base
    x, y, columns, rows = cv2.boundingRect(region)
    pad = 4 * SOFT_PX
    height, width = region.shape
    at = np.s_[max(0, y - pad) : min(height, y + rows + pad), max(0, x - pad) : min(width, x + columns + pad)]
    inside = region[at] >= 128
    kept, new = base[at].astype(np.float32), painted[at].astype(np.float32)
    ring = (widened(region[at], SOFT_PX) >= 128) & ~inside
    if apart is not None:
        ring &= apart[at] == 0
    if ring.any():
        shift = _filled(kept - new, ring)
        new = new + np.clip(shift, -MAX_SHIFT, MAX_SHIFT)
    soft_px = max(float(SOFT_PX), SOFT_OF_PICTURE * max(region.shape))
    share = _softness(inside if apart is None else inside | (apart[at] > 0), soft_px)[..., None]
    mixed = np.rint(np.clip(kept + share * (new - kept), 0, 255)).astype(np.uint8)
    out = base.copy()
    out[at] = np.where(inside[..., None], mixed, base[at])
    return out


def _softness(inside: NDArray[np.bool_], soft_px: float) -> F32:
    """The share of the painted pixels, 0..1, HxW: it rises from the region's border inwards. The frame is no border."""
    framed = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]
    width = min(soft_px, max(1.0, SOFT_SHARE * float(depth.max())))
    rise = np.clip(depth / (width + 1), 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)


def _filled(values: F32, known: NDArray[np.bool_]) -> F32:
    """A smooth field, float32 HxWxC, that has about the `values` where they are `known`: pull-push over a pyramid."""
    weight = known.astype(np.float32)
    levels = [(values * weight[..., None], weight)]
    while max(levels[-1][1].shape) > 1:
        colour, share = levels[-1]
        size = (max(1, (share.shape[1] + 1) // 2), max(1, (share.shape[0] + 1) // 2))
        colour, share = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (colour, share))
        levels.append((np.asarray(colour, np.float32), np.asarray(share, np.float32)))
    colour, share = levels[-1]
    field = np.broadcast_to(colour.sum(axis=(0, 1)) / max(float(share.sum()), 1e-6), colour.shape).astype(np.float32)
    for colour, share in reversed(levels):
        size = (share.shape[1], share.shape[0])
        field = cv2.resize(field, size, interpolation=cv2.INTER_LINEAR).reshape(colour.shape)
        sure = np.minimum(1.0, share * 4)[..., None]
        field = sure * colour / np.maximum(share, 1e-6)[..., None] + (1 - sure) * field
    return np.asarray(cv2.GaussianBlur(field, (0, 0), SOFT_PX / 2), np.float32)
