"""How a canvas's scene is framed: the size at which it is painted, and the part of it that the canvas shows.

A pack paints well only at its buckets. A canvas of nearly a bucket's aspect ratio shows a whole bucket. Any other
canvas shows the middle of a larger scene that has the canvas's scale on both axes. Such a scene is one bucket, or a row
of overlapping windows, each of a bucket's size (packshot/models/engines/windows.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from packshot.contract.engines import EngineInfo
from packshot.contract.shot_spec import ShotSpec
from packshot.types import Framing

__all__ = [
    "MAX_STRETCH",
    "MAX_WINDOWS",
    "OVERLAP",
    "Tiling",
    "framing",
    "max_windows",
    "nearest_bucket",
    "outline_steps",
    "row_steps",
    "tilings",
    "window_steps",
]

Size = tuple[int, int]

MAX_STRETCH = 1.1
"""A scene is enlarged on one axis by at most this factor more than on the other."""
MAX_WINDOWS = 6
"""Most windows of a scene. Each window costs as much as a scene of its bucket."""
OVERLAP = 0.25
"""Smallest share of a window that overlaps the next one."""
ENOUGH = 0.9
"""Share of the native number of pixels that a canvas must show before the cheapest framing is taken."""
OUTLINE = 3 / 8
"""Share of the steps that paint the outline. Measured (docs/measurements.md, 2026-11-26): with 1/8 the horizon still
breaks between windows, and with 9/16 the squeezed outline's texture remains in the scene."""
STEP_PX = 16
"""A side that holds several windows is a multiple of this, which every VAE's factor divides."""


@dataclass(frozen=True)
class Tiling:
    """A scene's size, and the number and the size of its windows. Sizes are (width, height) in pixels."""

    size: Size
    window: Size
    count: int

    @property
    def cost(self) -> int:
        """The pixels of all windows, which the time of a step follows."""
        return self.count * self.window[0] * self.window[1]


def max_windows(recipe: str) -> int:
    """Most windows of a scene: a vendor's service paints each picture apart, so its scenes have one."""
    return 1 if recipe == "remote" else MAX_WINDOWS


@lru_cache(maxsize=16)
def tilings(buckets: tuple[Size, ...], most: int = MAX_WINDOWS) -> Mapping[Size, Tiling]:
    """Every size at which a scene can be painted: each bucket as one window, and rows and columns of windows.

    `most` is the largest number of windows. Of two tilings of the same size the cheaper one is kept.
    """
    found: dict[Size, Tiling] = {}
    for tiling in sorted(_all(buckets, most), key=lambda tiling: tiling.cost):
        found.setdefault(tiling.size, tiling)
    return MappingProxyType(found)


def _all(buckets: tuple[Size, ...], most: int) -> Iterator[Tiling]:
    for width, height in buckets:
        yield Tiling((width, height), (width, height), 1)
        for count in range(2, most + 1):
            yield Tiling((_length(width, count), height), (width, height), count)
            yield Tiling((width, _length(height, count)), (width, height), count)


def _length(side: int, count: int) -> int:
    """The largest multiple of STEP_PX that `count` windows of `side` pixels cover with OVERLAP; at least `side`."""
    covered = side + (count - 1) * math.floor(side * (1 - OVERLAP))
    return max(side, covered // STEP_PX * STEP_PX)


def nearest_bucket(canvas: Size, buckets: tuple[Size, ...]) -> Size:
    """The bucket that is nearest to a canvas in aspect ratio and area. Sizes are (width, height) in pixels.

    Distances are logarithms of ratios. The aspect ratio has four times the weight of the area, because enlarging does
    less harm than distortion.
    """

    def distance(bucket: Size) -> float:
        aspect = abs(math.log(bucket[0] * canvas[1] / (bucket[1] * canvas[0])))
        area = abs(math.log(bucket[0] * bucket[1] / (canvas[0] * canvas[1])))
        return 4 * aspect + area

    return min(buckets, key=distance)


def outline_steps(steps: int) -> int:
    """The number of steps that paint the outline of a scene of several windows, of all `steps`."""
    return round(steps * OUTLINE)


def row_steps(spec: ShotSpec, engine: EngineInfo) -> int:
    """The batch rows of all steps of a shot: `spec.row_steps`, with a row for each window where the scene has several.

    The outline's steps have one window.
    """
    canvas = (spec.canvas.width, spec.canvas.height)
    return spec.row_steps // spec.steps * window_steps(canvas, spec.steps, engine)


def window_steps(canvas: Size, steps: int, engine: EngineInfo) -> int:
    """The steps of all windows of one picture's scene. `canvas` is (width, height) in pixels."""
    bucket = nearest_bucket(canvas, engine.buckets)
    windows = framing(canvas, bucket, engine.buckets, engine.native_px, max_windows(engine.recipe)).windows
    outline = outline_steps(steps) if windows > 1 else 0
    return outline + windows * (steps - outline)


def framing(
    canvas: Size, bucket: Size, buckets: tuple[Size, ...], native: Size, most_windows: int = MAX_WINDOWS
) -> Framing:
    """The framing of a canvas. Sizes are (width, height) in pixels.

    `bucket` is the pack's bucket that is nearest to the canvas. It is shown whole if that stretches it by at most
    MAX_STRETCH. Otherwise the canvas shows the middle of a scene, unstretched: of the cheapest scene of which it shows
    ENOUGH of the native number of pixels, or else of the scene of which it shows most. A scene has at most
    `most_windows`.
    """
    whole = Framing.of_whole(*bucket)
    if whole.stretch(canvas) <= MAX_STRETCH:
        return whole

    def rank(tiling: Tiling) -> tuple[int, int, int]:
        width, height = _fitted(tiling.size, canvas)
        shown = width * height
        return (0, tiling.cost, -shown) if shown >= ENOUGH * native[0] * native[1] else (1, -shown, tiling.cost)

    best = min(tilings(buckets, most_windows).values(), key=rank)
    return Framing(best.size, _middle(best.size, canvas), best.count)


def _fitted(scene: Size, canvas: Size) -> Size:
    """The largest size of the canvas's aspect ratio inside a scene, at least 1 x 1."""
    scale = min(scene[0] / canvas[0], scene[1] / canvas[1])
    return max(1, round(canvas[0] * scale)), max(1, round(canvas[1] * scale))


def _middle(scene: Size, canvas: Size) -> tuple[int, int, int, int]:
    width, height = _fitted(scene, canvas)
    left, top = (scene[0] - width) // 2, (scene[1] - height) // 2
    return left, top, left + width, top + height
