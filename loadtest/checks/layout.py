"""The placement of a product on the canvas, and the position of its pixels, by the pixel rules of docs/integrator.md.

The personas use it to request shots, and the check after the run uses it to find the product's pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int]
"""Width and height, pixels."""

FILLS = 0.6
"""Scale of a product that does not fit 1:1: its longer side as a share of the canvas's side."""
FITS = 0.9
"""Largest share of the canvas's side at which a product is placed 1:1, so that its pixels are copied from the photo."""


@dataclass(frozen=True)
class Placed:
    """A cutout on a square canvas.

    `layer` is the layer of the shot request. `one_to_one` says whether the cutout's pixels are copied without scaling;
    then (`left`, `top`) is the cutout's top-left corner on the canvas, in pixels.
    """

    layer: dict[str, Any]
    one_to_one: bool
    left: int
    top: int


def place(mask_id: str, cutout_px: Size | None, canvas_px: int, x: float = 0.5, y: float = 0.55) -> Placed:
    """Place the cutout of a mask: 1:1 where it fits, else scaled to FILLS.

    `cutout_px` is the size of the cutout's file, whose soft edge extends beyond the mask; it is None when the file was
    not fetched. `canvas_px` is the side of the canvas. (`x`, `y`) is the centre of the cutout, in fractions of that
    side.
    """
    width, height = cutout_px or (0, 0)
    longer = max(width, height)
    fits = 0 < longer <= FITS * canvas_px
    layer = {"mask_id": mask_id, "x": x, "y": y, "scale": longer / canvas_px if fits else FILLS}
    left = math.floor(x * canvas_px - width / 2 + 0.5)
    top = math.floor(y * canvas_px - height / 2 + 0.5)
    return Placed(layer, fits, left, top)
