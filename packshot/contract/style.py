"""A shot's style: reference pictures, a palette and a light, as a shot has them.

The palette and the light are found when a shot is accepted. So the stored shot needs no reference picture to paint
them again; only the part `scene` shows the pictures to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

StylePart = Literal["palette", "light", "scene"]
"""What a shot takes of its style: the colours, where the light comes from, or the pictures' look."""
STYLE_PARTS: tuple[StylePart, ...] = get_args(StylePart)

MAX_REFERENCES = 8
MAX_PALETTE = 8
MAX_REFERENCE_WEIGHT = 10.0

_SIDES = ((45.0, "behind"), (135.0, "the right"), (225.0, "the front"), (315.0, "the left"), (360.0, "behind"))


@dataclass(frozen=True)
class Reference:
    """A picture whose style counts. `picture_id` is a photo (`ph_…`) or a finished picture (`im_…`).

    `weight` is its share relative to the other references', above 0.
    """

    picture_id: str
    weight: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """The form of a request."""
        name = "image_id" if self.picture_id.startswith("im_") else "photo_id"
        return {name: self.picture_id, "weight": self.weight}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Reference:
        """The reference of `to_json`'s form."""
        return cls(stored.get("photo_id") or stored["image_id"], stored["weight"])


@dataclass(frozen=True, kw_only=True)
class Style:
    """What a shot takes of its references, as it is stored.

    `palette` is up to 8 colours `#rrggbb`, in lower case, and `shares` how much of a scene each should have; empty =
    not known. `light_deg` is where the light comes from, degrees clockwise
    on the canvas: 0 = from behind (up), 90 = from the right; None = not known. `strength` is 0..1. `parts` are those
    that count, in the order of STYLE_PARTS.
    """

    references: tuple[Reference, ...] = ()
    palette: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    light_deg: float | None = None
    strength: float
    parts: tuple[StylePart, ...]

    @property
    def colours(self) -> tuple[str, ...]:
        """The palette towards which the scene is moved; none without the part `palette`."""
        return self.palette if "palette" in self.parts else ()

    @property
    def scene_references(self) -> tuple[Reference, ...]:
        """The references that the engine sees; none without the part `scene`."""
        return self.references if "scene" in self.parts else ()

    @property
    def shadow_deg(self) -> float | None:
        """Where a shadow falls under the style's light, degrees; None without the part `light`."""
        if "light" not in self.parts or self.light_deg is None:
            return None
        return (self.light_deg + 180) % 360

    @property
    def light_words(self) -> str:
        """The style's light in words for the engine; empty without the part `light`."""
        if "light" not in self.parts or self.light_deg is None:
            return ""
        side = next(name for below, name in _SIDES if self.light_deg % 360 < below)
        return f"light from {side}"

    def to_json(self) -> dict[str, Any]:
        """The form of a request, with what was found written out."""
        return {
            "references": [one.to_json() for one in self.references],
            "palette": list(self.palette),
            "shares": list(self.shares) or None,
            "light": None if self.light_deg is None else {"direction_deg": self.light_deg},
            "strength": self.strength,
            "parts": list(self.parts),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> Style | None:
        """The style of `to_json`'s form; None for a shot without one."""
        if not stored:
            return None
        light = stored["light"]
        return cls(
            references=tuple(Reference.from_json(one) for one in stored["references"]),
            palette=tuple(stored["palette"]),
            shares=tuple(stored.get("shares") or ()),
            light_deg=None if light is None else light["direction_deg"],
            strength=stored["strength"],
            parts=tuple(stored["parts"]),
        )
