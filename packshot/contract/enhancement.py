"""An enhancement: a photo that the engine repaints at a low strength, as it is stored and as a recipe has it.

Its row in the queue has a shot beside it: a canvas of the photo's shape with the product on its own place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Target = Literal["product", "scene", "all"]
"""What an enhancement repaints: the product, everything else, or the whole photo."""
TARGETS: tuple[Target, ...] = get_args(Target)

STRENGTHS: Mapping[Target, float] = {"product": 0.35, "scene": 0.6, "all": 0.5}
"""How much each target changes where a request does not say: a product's shape must stay recognisable."""


@dataclass(frozen=True, kw_only=True)
class EnhancementSpec:
    """An enhancement of the photo `photo_id`.

    `strength` is the last part of the schedule that is run, above 0 and up to 1. `box` is the part that the engine
    paints, XYXY in pixels of the canvas.
    """

    photo_id: str
    target: Target
    strength: float
    box: tuple[int, int, int, int]

    @property
    def locked(self) -> bool:
        """Whether the picture's product is still the photo's own."""
        return self.target == "scene"

    def to_json(self) -> dict[str, Any]:
        """The enhancement as JSON, in the form that the store keeps and the API returns."""
        return {**asdict(self), "box": list(self.box)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EnhancementSpec:
        """The enhancement of `to_json`'s form."""
        x0, y0, x1, y1 = stored["box"]
        return cls(**{**stored, "box": (x0, y0, x1, y1)})
