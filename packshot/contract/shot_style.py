"""The style of a shot in requests and answers, and the palette that is found in pictures."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from packshot.contract.base import Answer, Number, absent
from packshot.contract.request_base import Colour, Fraction, Request
from packshot.contract.style import MAX_PALETTE, MAX_REFERENCE_WEIGHT, MAX_REFERENCES, Reference, StylePart

DEFAULT_STRENGTH = 0.9
"""How far a style moves a shot when the request does not say."""

Share = Annotated[float, Field(gt=0.0, le=1.0)]

PARTS = "palette (the scene's colours), light (the shadow's direction) or scene (the pictures' look, by the engine)"


class LightIn(Request):
    """The light of the set. It turns all cast shadows that name no direction, so that they agree."""

    direction_deg: float = Field(
        ge=-360, le=360, description="Where the light comes from, degrees clockwise: 0 = from behind (up), 90 = right."
    )


class ReferenceIn(Request):
    """A picture whose style counts: a photo, or a finished picture."""

    photo_id: str | None = Field(None, pattern=r"^ph_", max_length=64, description="An uploaded photo, ph_…")
    image_id: str | None = Field(None, pattern=r"^im_", max_length=64, description="Or a finished picture, im_…")
    weight: float = Field(
        Reference.weight,
        gt=0.0,
        le=MAX_REFERENCE_WEIGHT,
        description="Its weight beside the others, above 0, up to 10.",
    )

    @model_validator(mode="after")
    def _one_picture(self) -> ReferenceIn:
        if (self.photo_id is None) == (self.image_id is None):
            raise ValueError("a reference must have either photo_id or image_id; send one of them")
        return self

    @property
    def picture_id(self) -> str:
        """The photo's or the picture's id."""
        return self.photo_id or self.image_id or ""


def each_once(references: list[ReferenceIn] | None) -> list[ReferenceIn] | None:
    """Return references unchanged. Raises ValueError when a picture is named twice."""
    for picture_id, count in Counter(one.picture_id for one in references or ()).items():
        if count > 1:
            raise ValueError(f"a reference may be named once, got {picture_id} {count} times; raise its weight instead")
    return references


class ShotStyleIn(Request):
    """What a shot takes of a stored style, of reference pictures or of a palette."""

    style_id: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="A stored style, whose references, palette and light count. It also gives prompt, negative_prompt "
        "and shadow where the request leaves them out.",
    )
    references: list[ReferenceIn] = Field(
        default_factory=list, max_length=MAX_REFERENCES, description="1 to 8 pictures; not beside style_id."
    )
    palette: list[Colour] = Field(
        default_factory=list,
        max_length=MAX_PALETTE,
        description="1 to 8 colours #rrggbb; empty = the style's, else those that are found in the references.",
    )
    shares: list[Share] | None = Field(
        None,
        min_length=1,
        max_length=MAX_PALETTE,
        description="How much of the scene each colour of `palette` should have, above 0 to 1; null = not known.",
    )
    light: LightIn | None = Field(
        None, description="Where the light comes from; null = the style's, else as the references show it."
    )
    strength: Fraction = Field(DEFAULT_STRENGTH, description="How far the scene moves towards the style, 0 to 1.")
    parts: list[StylePart] | None = Field(
        None,
        min_length=1,
        max_length=3,
        description=f"What counts: {PARTS}; null = each one that can be served.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> ShotStyleIn:
        if self.style_id is not None and self.references:
            raise ValueError("a style must have either style_id or references, got both; leave one out")
        if self.style_id is None and not self.references and not self.palette and self.light is None:
            raise ValueError("a style needs style_id, references, palette or light, got none; name one")
        each_once(self.references)
        if self.shares is not None and len(self.shares) != len(self.palette):
            raise ValueError(f"shares must be one for each colour of palette, got {len(self.shares)}; send as many")
        if self.parts and len(set(self.parts)) < len(self.parts):
            raise ValueError(f"a part may be named once, got {', '.join(self.parts)}; name each once")
        return self


class LightAnswer(Answer):
    """Where the light comes from."""

    direction_deg: Number = Field(description="Degrees clockwise: 0 = from behind (up), 90 = from the right.")


class ReferenceAnswer(Answer):
    """A picture whose style counts."""

    photo_id: str | None = Field(None, exclude_if=absent, description="A photo; absent for a finished picture.")
    image_id: str | None = Field(None, exclude_if=absent, description="A finished picture; absent for a photo.")
    weight: Number


class ShotStyleAnswer(Answer):
    """The style of a shot, with what was found in its references. `ShotStyleIn` describes the fields."""

    references: tuple[ReferenceAnswer, ...]
    palette: tuple[str, ...]
    shares: tuple[Number, ...] | None = Field(None, description="null = not known.")
    light: LightAnswer | None = Field(description="null = not known.")
    strength: Number
    parts: tuple[StylePart, ...]


class PaletteRequest(Request):
    """The pictures whose palette is wanted."""

    references: list[ReferenceIn] = Field(min_length=1, max_length=MAX_REFERENCES, description="1 to 8 pictures.")

    _once_each = field_validator("references")(each_once)


class ColourAnswer(Answer):
    """A colour of a palette."""

    colour: str = Field(description="#rrggbb, in lower case.")
    share: Number = Field(description="The share of the pictures that is about of this colour, 0 to 1.")


class PaletteAnswer(Answer):
    """What the style of pictures is. Nothing is stored."""

    palette: tuple[ColourAnswer, ...] = Field(description="Up to 6 colours, the most frequent first.")
    light: LightAnswer | None = Field(description="Where the light comes from; null = the pictures do not show it.")


STYLE_BODIES: tuple[type[Request], ...] = (PaletteRequest,)
"""The request bodies of this module, for the OpenAPI document."""
