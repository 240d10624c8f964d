"""The edges that the engine must keep: Canny on the layout, so that the amateur background leaves none."""

from __future__ import annotations

import cv2

from packshot.imaging.composite import product_on_grey
from packshot.types import EdgeMap, Flat


def canny(flat: Flat, low: int = 100, high: int = 200) -> EdgeMap:
    """Canny edges of the product over neutral grey, at the layout's size.

    `low`, `high`: hysteresis thresholds on the Sobel gradient (L1, 3x3, strongest of R, G, B; a step of 1 level gives
    4). 100 and 200 are what ControlNet's canny weights were trained around: steps of 50 levels start an edge, steps of
    25 carry it on. The canvas border yields no edge.
    """
    return EdgeMap(cv2.Canny(product_on_grey(flat), low, high, apertureSize=3, L2gradient=False))
