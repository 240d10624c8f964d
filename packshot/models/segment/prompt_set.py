"""The prompt of one part of a product as SAM's network takes it, and how several clicks are given one after another."""

from __future__ import annotations

from dataclasses import dataclass, replace

from packshot.models.segment.refine import Box
from packshot.types import F32

PAD, BOX_FROM, BOX_TO = -1, 2, 3
"""SAM's labels of tokens that are no clicks: padding, and a box's top left and bottom right corner."""
MOST_TURNS = 3
"""Largest number of answers before the last one. Of more clicks, the first ones are given together."""


@dataclass(frozen=True)
class PromptSet:
    """The points and the box of one part of a product.

    `request` is the index of the request. `coords` are float32 Nx2 in the encoder's pixels, and `labels` are SAM's N
    labels; clicks come first. `box` is in photo pixels. `mask` holds a mask prompt's logits, float32 (S/4, S/4).
    """

    request: int
    coords: F32
    labels: tuple[int, ...]
    box: Box | None
    mask: F32 | None = None

    @property
    def clicks(self) -> int:
        """The number of clicks."""
        return sum(label in (0, 1) for label in self.labels)

    @property
    def clear(self) -> bool:
        """Whether the prompt is unambiguous: a box, more than one click, or a mask."""
        return sum(label != PAD for label in self.labels) > 1 or self.mask is not None

    @property
    def turns(self) -> int:
        """How many answers precede the last when clicks are given one by one: none after a mask, or for one prompt."""
        return 0 if self.mask is not None else max(0, min(MOST_TURNS, self.clicks - (self.box is None)))

    def without_last(self, clicks: int) -> PromptSet:
        """The same prompt without its last clicks."""
        end = self.clicks - clicks
        kept = [*range(end), *range(self.clicks, len(self.labels))]
        return replace(self, coords=self.coords[kept], labels=tuple(self.labels[index] for index in kept))
