"""Brush strokes on a mask: a person adds what the segmenter missed, and erases what does not belong to the product.

A stroke is a round brush that moves along a polyline. Its edge is hard; the cutout's soft edge is made later, from the
photo. A point (x, y) lies on the centre of the pixel with these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from packshot.errors import BadInput
from packshot.types import F32, U8, Stroke

__all__ = ["check_strokes", "paint"]

MAX_PAINTED_PX = 1_000_000_000
"""Limit of the work of one request: the pixels under all brush positions, those outside the photo included. Painting
them takes about a second (docs/measurements.md)."""
ROW_PX = 64
"""What a row of a line costs besides its pixels, as a number of pixels."""
STRAIGHT_PX = 0.25
"""Points nearer than this to the line between their neighbours are left out, as a pen sends far more than it needs."""
SHIFT = 4
"""Fractional bits of the coordinates that OpenCV draws: sixteenths of a pixel."""


def check_strokes(strokes: Sequence[Stroke], width: int, height: int) -> None:
    """Check strokes for a photo of `width` x `height` pixels.

    Raises BadInput `stroke_outside` for a stroke that touches no pixel of the photo, and `strokes_too_large` when the
    strokes would paint more than MAX_PAINTED_PX pixels. A stroke that lies partly outside is clipped.
    """
    painted_px = 0.0
    for index, stroke in enumerate(strokes):
        points = np.asarray(stroke.points, np.float64)
        (x0, y0), (x1, y1) = points.min(0) - stroke.radius_px, points.max(0) + stroke.radius_px
        if x1 < -0.5 or y1 < -0.5 or x0 > width - 0.5 or y0 > height - 0.5:
            rule = f"must touch the photo of {width} x {height} px, got x {x0:g} to {x1:g}, y {y0:g} to {y1:g}"
            raise BadInput(
                "stroke_outside",
                f"strokes.{index} {rule}; send its points in pixels of the photo, or leave the stroke out.",
                errors=[{"loc": ["strokes", index, "points"], "msg": rule}],
            )
        line = _simplified(stroke)
        length_px = float(np.hypot(*np.diff(line, axis=0).T).sum())
        painted_px += (2 * stroke.radius_px + ROW_PX) * length_px + 4 * stroke.radius_px**2 * len(line)
    if painted_px > MAX_PAINTED_PX:
        rule = f"may paint at most {MAX_PAINTED_PX} px together, got {painted_px:.0f}"
        raise BadInput(
            "strokes_too_large",
            f"strokes {rule}; use a smaller radius_px, or send the strokes in several requests.",
            errors=[{"loc": ["strokes"], "msg": rule}],
        )


def paint(mask: U8, strokes: Sequence[Stroke]) -> U8:
    """`mask` (uint8 HxW) after the strokes, in their order: 255 under an adding brush, 0 under an erasing one.

    Values that no stroke touches stay as they are, soft ones included.
    """
    painted = mask.copy()
    for stroke in strokes:
        points = np.rint(_simplified(stroke) * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2)
        value, width_px = 0 if stroke.erase else 255, max(1, round(2 * stroke.radius_px))
        cv2.polylines(painted, [points], isClosed=False, color=value, thickness=width_px, shift=SHIFT)
    return painted


def _simplified(stroke: Stroke) -> F32:
    """The stroke's polyline (N, 2) without the points that do not bend it."""
    points = np.asarray(stroke.points, np.float32).reshape(-1, 1, 2)
    if len(points) == 1:
        points = np.repeat(points, 2, axis=0)  # OpenCV draws a line of one point only if it has two ends
    elif len(points) > 2:
        points = np.asarray(cv2.approxPolyDP(points, STRAIGHT_PX, closed=False), np.float32)
    return np.asarray(points.reshape(-1, 2), np.float32)
