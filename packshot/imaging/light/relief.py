"""The relief of a layout's products: their normals in the grid over which a gain lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from packshot.contract.shot_spec import Canvas, LayerSpec
from packshot.imaging.light.gain import GAIN_PX, lit_box
from packshot.imaging.light.placed import place_geometries
from packshot.types import F32, Flat, Geometry

__all__ = ["Relief", "relief_of"]


@dataclass(frozen=True)
class Relief:
    """Normals in the camera's frame (x right, y up, z to the camera), float32 hxwx3, 0 outside the product.

    `product` is bool hxw. The grid covers the layout's `lit_box` with at most `GAIN_PX` on its longer side.
    """

    normals: F32
    product: NDArray[np.bool_]


def relief_of(flat: Flat, canvas: Canvas, layers: Sequence[LayerSpec], geometries: Sequence[Geometry]) -> Relief | None:
    """The relief of the layers' geometries, placed as the layers are. None without a visible product.

    `geometries` has one entry for each layer. Later layers cover earlier ones.
    """
    box = lit_box(flat)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    grid = min(1.0, GAIN_PX / max(width, height))
    size = max(1, round(width * grid)), max(1, round(height * grid))
    # the box as a canvas of its own, so that only its part of the geometries is drawn
    moved = [
        replace(
            one,
            x=(one.x * canvas.width - x0) / width,
            y=(one.y * canvas.height - y0) / height,
            scale=one.scale * canvas.longer / max(width, height),
        )
        for one in layers
    ]
    placed = place_geometries(geometries, moved, Canvas(width, height), size)
    return Relief(np.asarray(placed.normals / np.float32(127), np.float32), placed.mask > 0)
