"""A touch-up as it is stored: which part of which picture is painted anew, and how.

Its row in the queue has the shot of that picture beside it: the canvas, the layers and the sampling are the shot's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Margins:
    """By how many pixels a picture grows on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @property
    def any(self) -> bool:
        """Whether the picture grows at all."""
        return bool(self.left or self.top or self.right or self.bottom)


@dataclass(frozen=True, kw_only=True)
class TouchupSpec:
    """A touch-up of the picture `parent_id`.

    `strength` is the last part of the schedule that is run, above 0 and up to 1. `product` says that the product itself
    may be painted, and `product_before` that an earlier version's was. `box` is the part that the engine paints, XYXY
    in pixels of the new canvas. `margins` is how the picture grows.
    """

    parent_id: str
    prompt: str
    negative_prompt: str
    seed: int
    strength: float
    product: bool
    box: tuple[int, int, int, int]
    margins: Margins = field(default_factory=Margins)
    product_before: bool = False

    @property
    def locked(self) -> bool:
        """Whether the picture's product is still the photo's own."""
        return not (self.product or self.product_before)

    def to_json(self) -> dict[str, Any]:
        """The touch-up as JSON, in the form that the store keeps and the API returns."""
        return {**asdict(self), "box": list(self.box)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TouchupSpec:
        """The touch-up of `to_json`'s form."""
        x0, y0, x1, y1 = stored["box"]
        return cls(**{**stored, "box": (x0, y0, x1, y1), "margins": Margins(**stored["margins"])})
