"""How near each part of a scene is: from a depth map of the picture, or from a plain model of a set.

The model is a ground and an upright backdrop, as in most product photographs. On a ground seen by a pinhole camera the
disparity grows linearly with the row, from 0 at the horizon. The product tells how obliquely the camera sees the
ground, and the picture where the ground ends. So a backdrop is flat in this model, whatever it shows, and what stands
beside the product leans a little when the camera slides.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from packshot.imaging.light.stand import Part, parts_of, stand_of
from packshot.types import F32, U8

__all__ = ["scene_disparity"]

WORK_PX = 320
"""The longer side of the map."""
FOCAL = 1.3
"""The camera's focal length, as a share of the picture's longer side: about 47 mm on full frame."""
BACKDROP = (0.3, 0.9)
"""Bounds of the backdrop's disparity."""
USUAL_BACKDROP = 0.55
"""The backdrop's disparity where the picture does not show where the ground ends."""
NEAREST = 1.6
FAR = 0.3
"""The disparity of the farthest point of a depth map, whose scale is not known."""
BEND = 0.08
"""How softly the ground turns into the backdrop."""
CLEAR = 4.0
"""The end of the ground counts if its edge is so much stronger than the scene's usual change from row to row."""


def scene_disparity(picture: U8, alpha: U8, depth: F32 | None = None) -> F32:
    """The disparity of a picture's scene, float32 hxw of at most WORK_PX, relative to the product (1 = its base).

    `picture` is uint8 HxWx3 RGB and `alpha` the product's, uint8 HxW. `depth` is a depth map of the picture of any
    size, float32, near = large; None = the model of a set. The ground on which the product stands has the disparity 1,
    so that no product slides over its ground.
    """
    scale = min(1.0, WORK_PX / max(alpha.shape))
    size = (max(2, round(alpha.shape[1] * scale)), max(2, round(alpha.shape[0] * scale)))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    cover = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
    parts = parts_of(cover)
    if depth is not None:
        disparity = _of_depth(np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_AREA), np.float32), cover)
    else:
        disparity = _of_set(small, cover, parts)
    return _glued(disparity, parts)


def _of_depth(depth: F32, cover: U8) -> F32:
    """A network's depth, near = large, on our scale: the product's lower third is at 1."""
    rows = np.flatnonzero(cover.max(axis=1) >= 128)
    base = np.zeros_like(cover)
    if rows.size:
        base[rows[-1] - rows.size // 3 :] = cover[rows[-1] - rows.size // 3 :]
    here = depth[base >= 128]
    far = float(np.percentile(depth, 2))
    near = float(np.median(here)) if here.size else float(np.percentile(depth, 70))
    scaled = FAR + (1 - FAR) * (depth - far) / max(near - far, 1e-6)
    # a nearer thing keeps its outline: what is stretched is the scene behind it
    wide = cv2.dilate(np.clip(scaled, FAR, NEAREST).astype(np.float32), np.ones((5, 5), np.uint8))
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), 3.0), np.float32)


def _of_set(picture: U8, cover: U8, parts: list[Part]) -> F32:
    """The model of a ground and a backdrop."""
    height, width = cover.shape
    foot, elevation = 0.8 * height, math.asin(0.3)
    if parts:
        stand = stand_of(parts[0].shape)
        foot = parts[0].top + stand.front_y - stand.half_px * stand.foreshortening
        elevation = math.asin(stand.foreshortening)
    to_horizon = FOCAL * max(cover.shape) * math.tan(elevation)
    rows = np.arange(height, dtype=np.float32)
    ground = 1 + (rows - foot) / to_horizon
    end = _ground_end(picture, cover, foot, to_horizon)
    backdrop = USUAL_BACKDROP if end is None else float(np.clip(1 + (end - foot) / to_horizon, *BACKDROP))
    above = ground - backdrop
    column = backdrop + (above + np.sqrt(above**2 + BEND**2)) / 2
    return np.repeat(np.minimum(column, NEAREST)[:, None], width, axis=1).astype(np.float32)


def _ground_end(picture: U8, cover: U8, foot: float, to_horizon: float) -> float | None:
    """The row of the strongest level edge behind the product: where the ground ends. None if there is no clear one."""
    first = max(2, math.ceil(foot - (1 - BACKDROP[0]) * to_horizon))
    last = math.floor(foot - (1 - BACKDROP[1]) * to_horizon)
    scene = cv2.dilate(cover, np.ones((9, 9), np.uint8)) == 0
    lab = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), 1.0)
    change = np.abs(lab[2:] - lab[:-2]).sum(axis=2)
    beside = scene[1:-1]
    seen = np.flatnonzero(beside.sum(axis=1) >= 0.15 * cover.shape[1])
    inside = [row for row in range(first - 1, last) if row in set(seen.tolist())]
    if len(inside) < 5:
        return None
    strength = np.array([float(np.median(change[row][beside[row]])) for row in inside])
    usual = float(np.median([np.median(change[row][beside[row]]) for row in seen]))
    best = int(strength.argmax())
    if strength[best] < max(CLEAR * usual, 6.0):
        return None
    return float(inside[best] + 1)


def _glued(disparity: F32, parts: list[Part]) -> F32:
    """Give the ground under each part the product's disparity, and let it change smoothly from there."""
    rows, columns = np.mgrid[0 : disparity.shape[0], 0 : disparity.shape[1]].astype(np.float32)
    free: F32 = np.ones_like(disparity)
    for part in parts:
        stand = stand_of(part.shape)
        deep = max(1.0, stand.half_px * stand.foreshortening)
        across = (columns - part.left - (stand.first_x + stand.last_x) / 2) / stand.half_px
        down = (rows - part.top - stand.front_y + deep) / deep
        away = np.clip(np.hypot(across, down) - 1, 0, 1)
        free = np.minimum(free, away * away * (3 - 2 * away)).astype(np.float32)
    return np.asarray(1 + (disparity - 1) * free, np.float32)
