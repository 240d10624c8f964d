"""The Canny edges that guide the engine, computed on the layout so that the photo's own background has no edges."""

from __future__ import annotations

import cv2

from packshot.imaging.composite import product_on_grey
from packshot.types import EdgeMap, Flat


def canny(flat: Flat, low: int = 100, high: int = 200) -> EdgeMap:
    """The Canny edges of the product over neutral grey, at the layout's size.

    `low` and `high` are the hysteresis thresholds on the Sobel gradient (L1 norm, 3x3, the strongest of R, G and B), in
    which a step of 1 level has the magnitude 4. ControlNet's canny weights were trained with values around 100 and 200:
    a step of 50 levels starts an edge, and a step of 25 levels continues it. The canvas's border is no edge.
    """
    return EdgeMap(cv2.Canny(product_on_grey(flat), low, high, apertureSize=3, L2gradient=False))
