"""Printed products for tests of text: a card with lines, in Pillow's own typeface, and the reader that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from packshot.models.read import RapidReader
from packshot.types import U8

LINES = ("AURORA SERUM", "30 ml / 1.0 oz", "Vitamin C 15%")


@lru_cache(maxsize=1)
def reader() -> RapidReader:
    """One reader for all tests of a process: loading it takes a second."""
    return RapidReader()


def card(lines: Sequence[str] = LINES, *, size: tuple[int, int] = (320, 200), font_px: int = 28) -> U8:
    """A card of (width, height) pixels with lines, uint8 HxWx4 RGBA, opaque."""
    image = Image.new("RGB", size, (226, 220, 206))
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        pen.text((24, 20 + row * round(font_px * 1.9)), line, font=ImageFont.load_default(font_px), fill=(24, 24, 30))
    return np.dstack([np.asarray(image), np.full((size[1], size[0]), 255, np.uint8)])
