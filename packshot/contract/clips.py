"""Clips: a short film of one finished picture by a camera that moves before it. The request, the job and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pydantic import Field

from packshot.contract.base import Answer, Moment, Number
from packshot.contract.requests import Request

Move = Literal["push_in", "orbit", "pan"]
"""`push_in` goes towards the product, `orbit` sways around it and returns, `pan` glides past it."""

ClipFormat = Literal["webp", "mp4"]

MOVES: tuple[Move, ...] = get_args(Move)
FORMATS: tuple[ClipFormat, ...] = get_args(ClipFormat)
MEDIA_TYPES: dict[ClipFormat, str] = {"webp": "image/webp", "mp4": "video/mp4"}

MIN_CLIP_S, MAX_CLIP_S = 1.0, 8.0
MIN_CLIP_PX, MAX_CLIP_PX, USUAL_CLIP_PX = 64, 1920, 1080
"""Bounds of a clip's longer side in pixels, and its most when the request does not say."""
CLIP_FPS = 24


class ClipRequest(Request):
    """A clip to make of one picture."""

    move: Move = Field(
        "push_in",
        description="push_in goes towards the product, orbit sways around it and returns, pan glides past it.",
    )
    seconds: float = Field(4.0, ge=MIN_CLIP_S, le=MAX_CLIP_S, description="Its length, 1 to 8 seconds.")
    fps: int = Field(CLIP_FPS, ge=CLIP_FPS, le=CLIP_FPS, description="Frames a second: 24.")
    size: int | None = Field(
        None,
        ge=MIN_CLIP_PX,
        le=MAX_CLIP_PX,
        description="Its longer side, 64 to 1920 px; null is the picture's, at most 1080. Both sides are made even.",
    )
    format: ClipFormat = Field("webp", description="webp (animated), or mp4 where the server has ffmpeg.")


@dataclass(frozen=True)
class ClipJob:
    """A clip as the queue stores it. `size_px` is the longer side in pixels."""

    image_id: str
    move: Move
    seconds: float
    size_px: int
    format: ClipFormat
    fps: int = CLIP_FPS

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return round(self.seconds * self.fps)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ClipJob:
        """The job of `to_json`'s form."""
        return cls(**stored)


class ClipAnswer(Answer):
    """A stored clip. Its bytes never change."""

    id: str
    image_id: str = Field(description="The picture that it shows.")
    shot_id: str = Field(description="The work that made it, at /v1/shots/{shot_id}.")
    url: str = Field(description="Path of the file.")
    move: Move
    seconds: Number
    fps: int
    width: int
    height: int
    format: ClipFormat
    media_type: str
    bytes: int
    sha256: str
    created_at: Moment


CLIP_BODIES: tuple[type[Request], ...] = (ClipRequest,)
