"""Find the picture inside a frame of one colour, such as a border that somebody drew around it."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.types import U8, BoxXYXY

__all__ = ["inside_frame"]

SPREAD_LEVELS = 10
"""Difference from the frame's colour, grey levels of a channel, up to which a pixel belongs to it: a JPEG's noise."""
MIN_OF_LINE = 0.9
"""Share of a row's or column's pixels that have the frame's colour: a JPEG changes some near the picture."""
MOST = 0.4
"""Share of a side that a frame covers at each end at most."""


def inside_frame(pixels: U8) -> BoxXYXY | None:
    """The picture's place within its frame, XYXY pixels; None without a frame at all four sides.

    `pixels` is uint8 HxWx3 RGB. The row or column next to the frame is left out too, because resizing mixes the two.
    """
    height, width = pixels.shape[:2]
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    colour = np.median(np.concatenate(edges), axis=0).astype(np.int16)
    if any((np.abs(edge - colour).max(axis=-1) <= SPREAD_LEVELS).mean() < MIN_OF_LINE for edge in edges):
        return None  # most pictures have none, and end here
    darkest, brightest = (np.clip(colour + by, 0, 255).astype(np.float64) for by in (-SPREAD_LEVELS, SPREAD_LEVELS))
    of_frame = cv2.inRange(pixels, darkest, brightest) > 0
    sides = []
    for lines, most in ((of_frame.mean(axis=0), width), (of_frame.mean(axis=1), height)):
        inner = np.flatnonzero(lines < MIN_OF_LINE)
        if not inner.size:
            return None
        first, last = int(inner[0]) + 1, int(inner[-1])
        if first < 2 or last > most - 2 or first > MOST * most or last < (1 - MOST) * most:
            return None
        sides.append((first, last))
    (x0, x1), (y0, y1) = sides
    return x0, y0, x1, y1
