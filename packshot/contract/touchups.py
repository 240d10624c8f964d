"""The bodies and answers of touch-ups, and of the versions of a picture."""

from __future__ import annotations

from pydantic import Field

from packshot.contract.answers import ImageAnswer
from packshot.contract.base import Answer
from packshot.contract.requests import MAX_SEED, MAX_STROKES, Request, StrokeIn
from packshot.contract.reviews import MAX_MARKS, MarkIn

MAX_MASK_CHARS = 8 * 1024 * 1024
"""Longest `mask`, characters of base64: a PNG of 6 MiB."""
LONGEST_PX = 4096
"""Longest side of a picture, pixels."""


class MarginsIn(Request):
    """By how many pixels the picture grows on each side. Its own pixels stay, and the margins are painted."""

    left: int = Field(0, ge=0, le=LONGEST_PX)
    top: int = Field(0, ge=0, le=LONGEST_PX)
    right: int = Field(0, ge=0, le=LONGEST_PX)
    bottom: int = Field(0, ge=0, le=LONGEST_PX)


class TouchupRequest(Request):
    """What to paint anew in a finished picture. `mask`, `strokes` and `marks` add up to one region."""

    mask: str | None = Field(
        None,
        max_length=MAX_MASK_CHARS,
        description="A PNG of the picture's size in base64: 255 (or opaque) = paint anew.",
    )
    strokes: list[StrokeIn] = Field(
        default_factory=list, max_length=MAX_STROKES, description="Brush strokes in pixels of the picture, in order."
    )
    marks: list[MarkIn] = Field(
        default_factory=list,
        max_length=MAX_MARKS,
        description="Marks as a review has them: a rect, a pen line or the place that it encloses, a point.",
    )
    canvas: MarginsIn | None = Field(
        None, description=f"Margins by which the picture grows, up to {LONGEST_PX} px a side; they are painted too."
    )
    prompt: str | None = Field(None, description="What to paint there; null = the scene's own prompt.")
    negative_prompt: str | None = Field(None, description="What not to paint; null = the scene's own.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Seed; null = one that this picture has not used.")
    strength: float = Field(
        1.0,
        ge=0.01,
        le=1.0,
        description="1 paints the region from nothing; less starts from its present pixels and changes less of them.",
    )
    product: bool = Field(
        False,
        description="Whether the product itself may be painted too. A person must then approve the picture.",
    )


class VersionsAnswer(Answer):
    """All versions of a picture, oldest first: redos, touch-ups, and what they were made of."""

    newest: str = Field(description="The version that counts now. `POST …/restore` makes another one count.")
    versions: tuple[ImageAnswer, ...]


TOUCHUP_BODIES: tuple[type[Request], ...] = (TouchupRequest,)
"""The request bodies of this module, for the OpenAPI document."""
