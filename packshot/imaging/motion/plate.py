"""The clean plate: the scene without its product, which a moving camera sees beside the product."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.types import F32, U8

__all__ = ["clean_plate", "spread"]

OUTLINE_PX = 3.0
"""How much an outline is smoothed before its direction is read."""
LEVEL = (0.45, 0.75)
"""Below the first, an outline counts as level, and above the second as a side (cosines of its normal)."""


def clean_plate(picture: U8, cover: U8) -> U8:
    """The picture with the product filled in: uint8 HxWx3 RGB. `cover` is uint8 HxW, not 0 where the product is seen.

    Behind the product's sides the scene is mirrored along the row, so that a table's edge goes on and textures stay.
    This is what a camera sees that slides. Behind upper and lower outlines, and far inside, the colours are smooth.
    """
    hole = (cover > 0).astype(np.uint8)
    if not hole.any() or hole.all():
        return picture.copy()
    smooth = _pushed_and_pulled(picture, hole)
    inside = cv2.GaussianBlur(cv2.distanceTransform(hole, cv2.DIST_L2, 5), (0, 0), OUTLINE_PX)
    inwards = cv2.Sobel(inside, cv2.CV_32F, 1, 0), cv2.Sobel(inside, cv2.CV_32F, 0, 1)
    right = np.asarray(inwards[0] / np.maximum(np.hypot(*inwards), 1e-6), np.float32)  # 1 = inwards is to the right
    colours, total = np.zeros(picture.shape, np.float32), np.zeros(hole.shape, np.float32)
    for turn in (1, -1):  # the scene to the left of the product, then that to its right
        mirrored, seen = _mirrored(picture[:, ::turn], hole[:, ::turn])
        weight = np.clip((right * turn - LEVEL[0]) / (LEVEL[1] - LEVEL[0]), 0, 1) * seen[:, ::turn]
        colours += mirrored[:, ::turn] * weight[..., None]
        total += weight
    share = np.clip(total, 0, 1)[..., None]
    filled = colours / np.maximum(total, 1e-6)[..., None] * share + smooth * (1 - share)
    return np.where(hole[..., None] > 0, np.rint(filled).astype(np.uint8), picture)


def _mirrored(picture: U8, hole: U8) -> tuple[U8, U8]:
    """The scene to the left of a hole, mirrored into it along each row, and where there is one (uint8 HxW, 0 or 1)."""
    height, width = hole.shape
    columns = np.broadcast_to(np.arange(width), hole.shape)
    beside = np.maximum.accumulate(np.where(hole > 0, -1, columns), axis=1)  # the last scene pixel to the left
    source = 2 * beside - columns + 1
    rows = np.arange(height)[:, None]
    seen = (hole > 0) & (source >= 0)
    source = np.clip(source, 0, width - 1)
    seen &= hole[rows, source] == 0
    return picture[rows, source], seen.view(np.uint8)


def spread(rgba: U8) -> U8:
    """The colours of straight RGBA pixels, uint8 HxWx3, with the nearest product colour where alpha is 0."""
    from scipy.ndimage import distance_transform_edt  # here, because gateways and directors import this module

    at_y, at_x = distance_transform_edt(rgba[..., 3] == 0, return_distances=False, return_indices=True)
    return np.ascontiguousarray(rgba[at_y, at_x, :3])


def _pushed_and_pulled(picture: U8, hole: U8) -> F32:
    """Smooth colours for a hole, from a pyramid of the pixels around it: float32 HxWx3."""
    cover = (1 - hole).astype(np.float32)
    colours = picture.astype(np.float32) * cover[..., None]
    levels = [(colours, cover)]
    while min(levels[-1][1].shape) > 2 and (levels[-1][1] == 0).any():
        size = tuple(-(-side // 2) for side in levels[-1][1].shape[::-1])
        levels.append(tuple(cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in levels[-1]))
    colours, cover = levels[-1]
    filled = colours / np.maximum(cover, 1e-4)[..., None]
    for colours, cover in reversed(levels[:-1]):
        size = cover.shape[::-1]
        wider = cv2.resize(filled, size, interpolation=cv2.INTER_CUBIC)
        share = np.minimum(cover, 1)[..., None]
        filled = colours + wider * (1 - share)
    return np.clip(filled, 0, 255).astype(np.float32)
