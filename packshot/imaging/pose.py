"""The control image of people, as OpenPose draws it: bones in 17 colours and joints in 18, on black.

A person has 18 points in the order of POINTS. The published ControlNets for poses were trained on this drawing, so its
colours, its widths and the bones' 60 % of brightness are OpenPose's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from packshot.contract.shot_spec import Person
from packshot.types import U8, BoxXYXY

__all__ = ["pose_map"]

BONES = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
"""The points that each bone joins."""
COLOURS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0)),
    *((0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255)),
    *((170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)
"""RGB of each joint, and of the bone of the same number."""
DIM = 0.6
WIDTH_PX, OF_PX = 4, 512
"""Half a bone's width and a joint's radius, for a scene whose shorter side is OF_PX."""


def pose_map(people: Sequence[Person], size: tuple[int, int], shown: BoxXYXY) -> U8:
    """Draw people into a scene of `size` (width, height) pixels, uint8 HxWx3 RGB.

    Points are fractions of the canvas, which is the part `shown` of the scene, XYXY in pixels.
    """
    drawn = np.zeros((size[1], size[0], 3), np.uint8)
    x0, y0, x1, y1 = shown
    thick = max(2, round(WIDTH_PX * min(size) / OF_PX))
    placed = [
        [None if point is None else (x0 + point[0] * (x1 - x0), y0 + point[1] * (y1 - y0)) for point in person]
        for person in people
    ]
    for points in placed:
        for (first, second), colour in zip(BONES, COLOURS, strict=False):
            a, b = points[first], points[second]
            if a is not None and b is not None:
                middle = (round((a[0] + b[0]) / 2), round((a[1] + b[1]) / 2))
                angle = math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))
                half = (round(math.dist(a, b) / 2), thick)
                bone = cv2.ellipse2Poly(middle, half, round(angle), 0, 360, 1)
                cv2.fillConvexPoly(drawn, bone, tuple(int(DIM * part) for part in colour))
    for points in placed:
        for joint, colour in zip(points, COLOURS, strict=True):
            if joint is not None:
                cv2.circle(drawn, (round(joint[0]), round(joint[1])), thick, colour, -1)
    return drawn
