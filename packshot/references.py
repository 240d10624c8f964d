"""Reference pictures as an engine sees them: embedded for an adapter, or as pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReferencePicture", "References"]


@dataclass(frozen=True)
class ReferencePicture:
    """A reference and its share of all, 0..1. It has one of the two forms, as the engine reads it.

    `embedding` is float32 (D,), the image encoder's vector. `pixels` is uint8 HxWx3 RGB.
    """

    weight: float
    embedding: NDArray[np.float32] | None = None
    pixels: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if (self.embedding is None) == (self.pixels is None):
            raise TypeError("a reference must have an embedding or pixels, and not both")

    @property
    def nbytes(self) -> int:
        """The size of its array in bytes."""
        return sum(one.nbytes for one in (self.embedding, self.pixels) if one is not None)


@dataclass(frozen=True)
class References:
    """The references of a scene. Their weights add up to 1. `strength` is 0..1: how much the scene follows them."""

    pictures: tuple[ReferencePicture, ...]
    strength: float

    def __post_init__(self) -> None:
        if not self.pictures or not 0 <= self.strength <= 1:
            raise TypeError(
                f"references must be ≥ 1 and their strength 0..1, got {len(self.pictures)}, {self.strength}"
            )
        total = sum(one.weight for one in self.pictures)
        if min(one.weight for one in self.pictures) <= 0 or abs(total - 1) > 1e-3:
            raise TypeError(f"weights of references must be above 0 and add up to 1, got {total}")
