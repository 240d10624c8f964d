"""What a product's geometry says of how it lies: its height above the ground, its contact line, upright or flat.

The camera looks down on the ground. So a point that is nearer to it stands on ground that lies lower in the picture,
and a point's height is the distance from that ground up to the point.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from packshot.imaging.light.stand import Part, contact_line, parts_of, stand_of
from packshot.types import F32, U8, Geometry, Pose

__all__ = ["Lying", "lying"]

TOP_FACES_UP = 0.6
"""The vertical share of a normal from which a surface counts as one that faces up."""
FLAT_SHARE = 0.55
"""The share of the product's surface that faces up, from which the product lies flat."""


class Lying(NamedTuple):
    """How a product lies: `height` float32 hxw and `contact_y` float32 w in pixels of the maps, and its pose."""

    height: F32
    contact_y: F32
    pose: Pose


def lying(geometry: Geometry) -> Lying:
    """How the product of a geometry lies. A map without a product has no height, and the ground at its last row."""
    mask = geometry.mask
    parts = parts_of(mask)
    if not parts:
        return Lying(np.zeros(mask.shape, np.float32), np.full(mask.shape[1], mask.shape[0] - 1, np.float32), "upright")
    line = _line(parts[0], mask.shape[1])
    if _faces_up(geometry) >= FLAT_SHARE:
        return Lying(np.zeros(mask.shape, np.float32), line, "flat")
    return Lying(_height(geometry, parts[0]), line, "upright")


def _line(part: Part, width: int) -> F32:
    """The contact line of the largest part, at every column; those beside it take the row of its nearest end."""
    own = contact_line(part.shape) + part.top
    right = width - part.left - part.shape.shape[1]
    return np.asarray(np.pad(own, (part.left, right), mode="edge"), np.float32)


def _height(geometry: Geometry, part: Part) -> F32:
    stand = stand_of(part.shape)
    deepest = min(stand.half_px, _inscribed_px(geometry.mask))  # from the silhouette's plane to the front
    rows = np.arange(geometry.mask.shape[0], dtype=np.float32)[:, None]
    foot = part.top + stand.front_y - (1 - geometry.depth) * np.float32(deepest * stand.foreshortening)
    return np.asarray(np.where(geometry.mask >= 128, np.maximum(foot - rows, 0), 0), np.float32)


def _inscribed_px(mask: U8) -> float:
    """The radius of the largest circle in a mask, pixels."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return float(cv2.distanceTransform(framed, cv2.DIST_L2, 3).max())


def _faces_up(geometry: Geometry) -> float:
    """The share of the visible surface that faces up."""
    return float((geometry.normals[geometry.mask >= 128][:, 1] > TOP_FACES_UP * 127).mean())
