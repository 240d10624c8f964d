"""The text column: what is printed on a product, read in its photo, and read again in each of its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from packshot.contract.shot_spec import Canvas
from packshot.imaging.canvas import flatten, layer_transform
from packshot.models.read import RapidReader, TextLine
from packshot.types import U8, Layer, Layout
from packshot.verdict.text import Fate, Placed, compare_lines, is_legible, on_ground, read_product

__all__ = ["Labels"]

CHANGED: tuple[Fate, ...] = ("changed", "added", "mirrored")
UNPROVEN: tuple[Fate, ...] = ("unreadable", "hidden")


class Labels:
    """Reads labels. `laid` names each product's layer and the canvas that it lies on. A photo is read once."""

    def __init__(self, laid: Mapping[str, tuple[Layer, Canvas]]) -> None:
        self._laid = laid
        self._reader = RapidReader()
        self._photos: dict[str, tuple[U8, list[TextLine]]] = {}

    def read(self, product: str, picture: U8) -> dict[str, int] | None:
        """How many lines of a picture, uint8 HxWx3 RGB, are the `same`, `changed`, or `unproven`: too small to read.

        None for a product without a legible line.
        """
        pixels, lines = self._photo(product)
        if not lines:
            return None
        layer, canvas = self._laid[product]
        alpha = flatten(Layout(canvas, (layer,))).alpha
        placed = Placed(layer_transform(layer, canvas), np.where(alpha >= 128, 255, 0).astype(np.uint8))
        fates = Counter(proof.fate for proof in compare_lines(self._reader, pixels, lines, picture, placed))
        return {
            "same": fates["same"],
            "changed": sum(fates[fate] for fate in CHANGED),
            "unproven": sum(fates[fate] for fate in UNPROVEN),
        }

    def _photo(self, product: str) -> tuple[U8, list[TextLine]]:
        if product not in self._photos:
            pixels = on_ground(self._laid[product][0].cutout.pixels)
            lines = read_product(self._reader, pixels)
            self._photos[product] = pixels, lines if any(is_legible(line) for line in lines) else []
        return self._photos[product]
