"""The product's shadow, its reflection and its relighting, as a shot has them.

Directions are degrees, clockwise on the canvas: 0 = away from the viewer (up), 90 = right, 180 = towards the viewer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

ShadowKind = Literal["none", "contact", "cast", "floating"]
RelightMode = Literal["off", "match"]


@dataclass(frozen=True)
class Shadow:
    """The product's shadow.

    `kind` is `none`, `contact` (under the product), `cast` (contact, and the shadow that a light casts) or `floating`
    (on the ground below a product that hovers). `direction_deg` is where a cast shadow falls; None = as the scene's
    light says. `length` is its length for each height of the product. `softness` and `intensity` are 0..1. `tint` is
    its colour `#rrggbb`, in lower case.
    """

    kind: ShadowKind = "contact"
    direction_deg: float | None = None
    length: float = 0.8
    softness: float = 0.4
    intensity: float = 0.6
    tint: str = "#000000"

    def to_json(self) -> str | dict[str, Any]:
        """The form of a request: the kind alone, as every version writes it, unless other fields say more."""
        if self == Shadow(self.kind):
            return self.kind
        fields = asdict(self)
        return {"mode": fields.pop("kind"), **fields}

    @classmethod
    def from_json(cls, stored: str | dict[str, Any]) -> Shadow:
        """The shadow of `to_json`'s form."""
        if isinstance(stored, str):
            return cls(_KINDS[stored])
        fields = dict(stored)
        return cls(_KINDS[fields.pop("mode")], **fields)


_KINDS: dict[str, ShadowKind] = {"none": "none", "contact": "contact", "cast": "cast", "floating": "floating"}


@dataclass(frozen=True)
class Reflection:
    """The product's reflection in the ground.

    `strength` 0..1 is the reflection's share at the base. `fade` 0..1 is where it ends, as a share of the product's
    height. `blur` 0..1 grows with the distance from the base.
    """

    strength: float = 0.35
    fade: float = 0.5
    blur: float = 0.2


@dataclass(frozen=True)
class Relight:
    """How far the product takes the light of its scene, as a smooth gain over its pixels.

    `amount` 0..1 is how much the direction and the colour of the light change it; 0 changes nothing.
    """

    amount: float = 0.25

    def to_json(self) -> dict[str, Any]:
        """The form of a request."""
        return {"mode": "match", "amount": self.amount}

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> Relight | None:
        """The relighting of `to_json`'s form; None for a shot without one."""
        return cls(stored["amount"]) if stored and stored["mode"] == "match" else None
