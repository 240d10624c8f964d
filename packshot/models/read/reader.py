"""What a reader of text does, and how a whole picture is read with one.

    picture ──find──> quads ──crop_line──> crops ──read──> Reading each

Finding and reading are two calls, because a line whose place is known is read without looking for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from packshot.types import F32, U8

__all__ = ["Quad", "Reader", "Reading", "TextLine", "crop_line", "read_lines"]

Quad = F32
"""The corners of a line, float32 4x2 of (x, y) pixels: left top, right top, right bottom, left bottom."""

UPRIGHT_RATIO = 1.5
"""A crop that is this many times higher than wide holds letters that lie on their side."""
MIN_CROP_PX = 2


@dataclass(frozen=True)
class Reading:
    """What a line says, and how certain the reader is, 0..1. A line that cannot be read is "" with a score of 0."""

    text: str
    score: float


@dataclass(frozen=True)
class TextLine:
    """A line of a picture: its place, its height across the letters in pixels, and what it says."""

    quad: Quad
    height_px: float
    reading: Reading


class Reader(Protocol):
    """Finds lines of text and reads them. Pictures and crops are uint8 HxWx3 RGB."""

    def find(self, picture: U8, longest_px: int) -> list[Quad]:
        """The lines of a picture, from the top. It is looked at with a longer side of at most `longest_px`."""
        ...

    def read(self, crops: Sequence[U8]) -> list[Reading]:
        """Read lines that lie upright, one a crop. The answers are in the crops' order."""
        ...


def crop_line(picture: U8, quad: Quad) -> U8:
    """The line's part of a picture, turned so that its letters stand upright, uint8 HxWx3 RGB."""
    top, right, bottom, left = (float(np.linalg.norm(quad[a] - quad[b])) for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)))
    width, height = max(MIN_CROP_PX, round(max(top, bottom))), max(MIN_CROP_PX, round(max(left, right)))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(np.asarray(quad, np.float32), corners)
    crop = cv2.warpPerspective(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if height >= UPRIGHT_RATIO * width:
        crop = np.rot90(crop)
    return np.ascontiguousarray(crop, np.uint8)


def read_lines(reader: Reader, picture: U8, longest_px: int) -> list[TextLine]:
    """Find and read all lines of a picture. One of which no character can be read says ""."""
    quads = reader.find(picture, longest_px)
    crops = [crop_line(picture, quad) for quad in quads]
    lines = zip(quads, crops, reader.read(crops), strict=True)
    return [TextLine(quad, float(crop.shape[0]), reading) for quad, crop, reading in lines]
