"""Give a picture the channel's aspect ratio by extending its plain background. Nothing is cropped.

    picture, product's box ──frame_around──> frame ──extend──> picture in the frame

The product also stays inside of the channel's safe zone: the frame grows where it must.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from packshot.contract.presets import SafeZone
from packshot.types import U8, BoxXYXY

__all__ = ["NO_MARGINS", "Frame", "extend", "fits_aspect", "frame_around", "inside", "plain_colour"]

FAINT_LEVELS = 2  # of 255: an edge of so few levels is not seen
ROUNDING = 0.002
"""The largest difference of an aspect ratio that is taken for one of rounding, as a share of it."""
NO_MARGINS = SafeZone(top=0, right=0, bottom=0, left=0)


@dataclass(frozen=True)
class Frame:
    """A frame of `width` x `height` pixels, and the picture's top left corner in it."""

    width: int
    height: int
    left: int
    top: int


def fits_aspect(size: tuple[int, int], aspect: tuple[int, int]) -> bool:
    """Whether a picture of `size` (width, height) has this aspect ratio, but for rounding."""
    return abs(size[0] * aspect[1] / (size[1] * aspect[0]) - 1) < ROUNDING


def frame_around(size: tuple[int, int], aspect: tuple[int, int], box: BoxXYXY | None, zone: SafeZone) -> Frame:
    """The smallest frame of `aspect` that holds the whole picture, with the product inside of the safe zone.

    `size` is the picture's (width, height) and `box` the product's box, XYXY, in pixels. Without a box, and where no
    margin moves it, the picture is in the middle.
    """
    x0, y0, x1, y1 = box or (0, 0, *size)
    if box is None:
        zone = NO_MARGINS
    across, down = aspect
    width = _needed(size[0], x0, x1, zone.left, zone.right)
    height = _needed(size[1], y0, y1, zone.top, zone.bottom)
    width, height = max(width, round(height * across / down)), max(height, round(width * down / across))
    left = _offset(width, size[0], x0, x1, zone.left, zone.right)
    top = _offset(height, size[1], y0, y1, zone.top, zone.bottom)
    return Frame(width, height, left, top)


def _needed(length: int, start: int, end: int, before: float, after: float) -> int:
    """The shortest side of a frame that holds the picture's side, with the product between the margins."""
    bounds = length, end / (1 - after), (length - start) / (1 - before), (end - start) / (1 - before - after)
    return math.ceil(max(bounds) - 1e-9)


def _offset(side: int, length: int, start: int, end: int, before: float, after: float) -> int:
    """Where the picture begins on a side of the frame: in the middle, or as near to it as the margins allow."""
    least, most = max(0, math.ceil(before * side - start)), min(side - length, math.floor((1 - after) * side - end))
    return min(max((side - length) // 2, least), max(most, 0))


def inside(size: tuple[int, int], box: BoxXYXY, zone: SafeZone) -> bool:
    """Whether the product's box lies inside of the safe zone of a picture of `size`, to the pixel."""
    width, height = size
    x0, y0, x1, y1 = box
    across = x0 >= math.floor(zone.left * width) and x1 <= math.ceil((1 - zone.right) * width)
    return across and y0 >= math.floor(zone.top * height) and y1 <= math.ceil((1 - zone.bottom) * height)


def plain_colour(pixels: U8) -> U8 | None:
    """The one colour of all edge pixels of uint8 HxWx3 or HxWx4, uint8 of 3 or 4 values; None if they differ visibly.

    Fully transparent pixels count as one colour. The faint end of a shadow may differ by FAINT_LEVELS.
    """
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if pixels.shape[2] == 4 and not edges[:, 3].any():
        return np.zeros(4, np.uint8)
    colour = np.rint(np.median(edges, axis=0)).astype(np.uint8)
    apart = np.maximum(edges, colour) - np.minimum(edges, colour)
    return colour if apart.max() <= FAINT_LEVELS else None


def extend(pixels: U8, frame: Frame, colour: U8 | int) -> U8:
    """The picture (uint8 HxW or HxWxC) in its frame, the rest of which has one colour."""
    framed = np.empty((frame.height, frame.width, *pixels.shape[2:]), np.uint8)
    framed[...] = colour
    framed[frame.top : frame.top + pixels.shape[0], frame.left : frame.left + pixels.shape[1]] = pixels
    return framed
