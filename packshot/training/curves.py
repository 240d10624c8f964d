"""Line plots as pictures, for the curves of a training. matplotlib would take a second of processor time for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from packshot.types import U8

__all__ = ["plot"]

Line = Sequence[tuple[float, float]]

WIDTH_PX, HEIGHT_PX = 640, 400
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 76, 20, 56, 48
COLOURS = ((31, 95, 168), (194, 84, 27))
INK, GRID = (40, 40, 40), (222, 222, 222)
TICKS = 4


def plot(title: str, lines: Mapping[str, Line]) -> U8:
    """Plot lines by their labels, each of (step, value) points, as a picture of WIDTH_PX x HEIGHT_PX.

    Points without a finite value are left out.
    """
    picture = np.full((HEIGHT_PX, WIDTH_PX, 3), 255, np.uint8)
    points = {label: [one for one in line if np.isfinite(one[1])] for label, line in lines.items()}
    every = [one for line in points.values() for one in line] or [(0.0, 0.0)]
    steps, values = (np.array(axis) for axis in zip(*every, strict=True))
    first, last = float(steps.min()), float(max(steps.max(), steps.min() + 1))
    low, high = _range(float(values.min()), float(values.max()))

    def at(step: float, value: float) -> tuple[int, int]:
        x = LEFT_PX + (WIDTH_PX - LEFT_PX - RIGHT_PX) * (step - first) / (last - first)
        y = HEIGHT_PX - BOTTOM_PX - (HEIGHT_PX - TOP_PX - BOTTOM_PX) * (value - low) / (high - low)
        return round(x), round(y)

    _write(picture, title, (LEFT_PX, 24), 0.55)
    for tick in range(TICKS + 1):
        value = low + (high - low) * tick / TICKS
        x, y = at(first, value)
        cv2.line(picture, (x, y), (WIDTH_PX - RIGHT_PX, y), GRID, 1)
        _write(picture, f"{value:.3g}", (10, y + 5), 0.42)
        step = first + (last - first) * tick / TICKS
        text = f"{step:,.0f}"
        _write(picture, text, (at(step, low)[0] - 4 * len(text), HEIGHT_PX - 24), 0.42)
    _write(picture, "step", (WIDTH_PX // 2, HEIGHT_PX - 6), 0.42)
    for index, (label, line) in enumerate(points.items()):
        way = np.array([at(*one) for one in line], np.int32).reshape(-1, 1, 2)
        cv2.polylines(picture, [way], isClosed=False, color=COLOURS[index % 2], thickness=2, lineType=cv2.LINE_AA)
        for x, y in way[:, 0] if len(way) <= 40 else ():
            cv2.circle(picture, (int(x), int(y)), 3, COLOURS[index % 2], -1, cv2.LINE_AA)
        _write(picture, label, (LEFT_PX + 260 * index, 44), 0.42, COLOURS[index % 2])
    return picture


def _range(low: float, high: float) -> tuple[float, float]:
    """The values that the axis shows: a little more than those of the lines."""
    margin = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _write(picture: U8, text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int] = INK) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
