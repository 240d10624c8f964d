"""The geometry of a layout: those of its products, placed on the canvas as their cutouts are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.types import F32, U8, Geometry

__all__ = ["place_geometries"]


def place_geometries(
    geometries: Sequence[Geometry], placements: Sequence[LayerSpec], canvas: Canvas, size: tuple[int, int]
) -> Geometry:
    """The geometry of the whole canvas, in maps of `size` (width, height) pixels.

    `geometries` and `placements` are the layers', in painting order; a later one hides what is behind it. Depths stay
    those of each product, 0..1. Normals turn and are mirrored with their product.
    """
    width, height = size
    normals, depth = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    mask: U8 = np.zeros((height, width), np.uint8)
    for geometry, placement in zip(geometries, placements, strict=True):
        maps, cover = _warped(geometry, placement, canvas, size)
        here = cover >= 0.5
        normals[here] = _turned(maps[here][:, :3], placement)
        depth[here] = np.clip(maps[here][:, 3] / cover[here], 0, 1)
        mask[here] = 255
    length = np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
    return Geometry(np.round(normals / length * 127).astype(np.int8), depth, mask)


def _warped(geometry: Geometry, placement: LayerSpec, canvas: Canvas, size: tuple[int, int]) -> tuple[F32, F32]:
    """A product's maps on the canvas: normals and depth (float32 HxWx4, times the cover), and the cover 0..1 (HxW)."""
    cover = (geometry.mask >= 128).astype(np.float32)
    maps = np.dstack([geometry.normals.astype(np.float32) / 127, geometry.depth]) * cover[..., None]
    high, wide = cover.shape
    per_canvas = np.diag([size[0] / canvas.width, size[1] / canvas.height])
    step = placement.scale * canvas.longer / max(wide, high)  # the canvas's pixels for one of the maps'
    shrunk = min(1.0, step * float(per_canvas.max()))
    if shrunk < 1:
        smaller = max(1, round(wide * shrunk)), max(1, round(high * shrunk))
        maps, cover = (cv2.resize(one, smaller, interpolation=cv2.INTER_AREA) for one in (maps, cover))
    own = np.diag([wide * step / cover.shape[1], high * step / cover.shape[0]])
    if placement.flip:
        own[0, 0] *= -1
    turn = math.radians(placement.rotation_deg)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])  # y is down
    matrix = per_canvas @ rotation @ own
    centre = per_canvas @ (placement.x * canvas.width, placement.y * canvas.height)
    shift = centre - 0.5 - matrix @ ((cover.shape[1] - 1) / 2, (cover.shape[0] - 1) / 2)
    affine = np.hstack([matrix, shift[:, None]])
    placed = [
        cv2.warpAffine(one, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        for one in (maps, cover)
    ]
    return np.asarray(placed[0], np.float32), np.asarray(placed[1], np.float32)


def _turned(normals: F32, placement: LayerSpec) -> F32:
    """Normals (Nx3; x right, y up) of a product that is mirrored and then turned clockwise."""
    turn = math.radians(placement.rotation_deg)
    x = -normals[:, 0] if placement.flip else normals[:, 0]
    y = normals[:, 1]
    turned = [x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn), normals[:, 2]]
    return np.stack(turned, axis=1)
