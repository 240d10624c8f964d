"""The relief of a layout's products: their normals in the grid over which a gain lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.imaging.light.gain import GAIN_PX, lit_box
from packshot.imaging.light.inflation import inflated, normals_of
from packshot.types import F32, Flat, Geometry

__all__ = ["Relief", "inflated_relief", "placed_relief"]


@dataclass(frozen=True)
class Relief:
    """Normals in the camera's frame (x right, y up, z to the camera), float32 hxwx3, 0 outside the product.

    `product` is bool hxw. The grid covers the layout's `lit_box` with at most `GAIN_PX` on its longer side.
    """

    normals: F32
    product: NDArray[np.bool_]


def _grid(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the grid over a box of this size in pixels."""
    scale = min(1.0, GAIN_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def inflated_relief(flat: Flat) -> Relief | None:
    """The relief that the silhouette says. None without a visible product."""
    box = lit_box(flat)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    alpha = cv2.extractChannel(flat.pixels, 3)[y0:y1, x0:x1]
    small = cv2.resize(alpha, _grid(x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    mask = np.where(small >= 128, np.uint8(255), np.uint8(0))
    return Relief(normals_of(inflated(mask), mask), mask > 0)


def placed_relief(
    flat: Flat, canvas: Canvas, layers: Sequence[LayerSpec], geometries: Sequence[Geometry]
) -> Relief | None:
    """The relief of the layers' geometries, placed as the layers are. None without a visible product.

    `geometries` has one entry for each layer. Later layers cover earlier ones.
    """
    box = lit_box(flat)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    across, down = _grid(x1 - x0, y1 - y0)
    # grid pixel -> canvas pixel, centres on centres
    to_canvas = np.array(
        [[(x1 - x0) / across, 0, x0 + (x1 - x0) / across / 2], [0, (y1 - y0) / down, y0 + (y1 - y0) / down / 2]]
    )
    normals: F32 = np.zeros((down, across, 3), np.float32)
    product = np.zeros((down, across), bool)
    for layer, geometry in zip(layers, geometries, strict=True):
        moved, cover = _placed(to_canvas, (across, down), canvas, layer, geometry)
        normals[cover], product[cover] = moved[cover], True
    return Relief(normals, product)


def _placed(
    to_canvas: NDArray[np.float64], size: tuple[int, int], canvas: Canvas, layer: LayerSpec, geometry: Geometry
) -> tuple[F32, NDArray[np.bool_]]:
    """A geometry's normals in the grid, turned with their layer, and where it covers the grid by half."""
    high, wide = geometry.mask.shape
    per_px = max(high, wide) / max(1.0, layer.scale * canvas.longer)  # the geometry's pixels for each of the canvas's
    turn = math.radians(layer.rotation_deg)
    sine, cosine = math.sin(turn), math.cos(turn)
    mirror = -1.0 if layer.flip else 1.0
    # canvas pixel -> geometry pixel: turned back about the layer's centre, mirrored, scaled
    back = np.array([[cosine * mirror, sine * mirror], [-sine, cosine]]) * per_px
    centre = np.array([layer.x * canvas.width, layer.y * canvas.height])
    linear = back @ to_canvas[:, :2]
    offset = back @ (to_canvas[:, 2] - centre) + np.array([wide / 2 - 0.5, high / 2 - 0.5])
    affine = np.hstack([linear, offset[:, None]])
    share = np.where(geometry.mask >= 128, np.float32(1), np.float32(0))
    maps = np.dstack([geometry.normals.astype(np.float32) * share[..., None], share])
    blur = 0.5 * per_px * to_canvas[0, 0]  # so that a grid pixel takes the mean of what it covers
    if blur > 0.7:
        maps = cv2.GaussianBlur(maps, (0, 0), blur)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(maps, affine, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    x, y, z = seen[..., 0] * mirror, seen[..., 1], seen[..., 2]
    turned = np.dstack([x * cosine + y * sine, y * cosine - x * sine, z])
    turned /= np.maximum(np.linalg.norm(turned, axis=2, keepdims=True), 1e-6)
    return np.asarray(turned, np.float32), seen[..., 3] >= 0.5
