"""Where a product is put, and where its pixels then are: api.md's pixel rules, for personas and for the check after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int]
"""Width and height, pixels."""

FILLS = 0.6
"""Share of the canvas's side that a product takes which does not fit 1:1."""
FITS = 0.9
"""Largest share at which it is placed 1:1, so that its pixels are the photo's own."""


@dataclass(frozen=True)
class Placed:
    """A cutout on a square canvas. `one_to_one`: its pixels are copied, with the top-left corner at (left, top)."""

    layer: dict[str, Any]
    one_to_one: bool
    left: int
    top: int


def place(mask_id: str, cutout_px: Size | None, canvas_px: int, x: float = 0.5, y: float = 0.55) -> Placed:
    """Put the cutout of a mask at the fraction (x, y) of the canvas: 1:1 where it fits, else scaled to FILLS.

    `cutout_px`: of the cutout's file, whose soft edge reaches beyond the mask; None for who has not fetched it.
    """
    width, height = cutout_px or (0, 0)
    longer = max(width, height)
    fits = 0 < longer <= FITS * canvas_px
    layer = {"mask_id": mask_id, "x": x, "y": y, "scale": longer / canvas_px if fits else FILLS}
    left = math.floor(x * canvas_px - width / 2 + 0.5)
    top = math.floor(y * canvas_px - height / 2 + 0.5)
    return Placed(layer, fits, left, top)
