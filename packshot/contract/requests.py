"""What requests may say. Strict: no unknown fields, no coerced types, only finite numbers.

These models hold the bounds that never change. `packshot.api.accept` checks the bounds that an operator or a pack sets:
images, layers, prompt length, steps, guidance.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from packshot.contract.shot_spec import LayerSpec, ShadowKind
from packshot.contract.status import Priority, Review

MAX_SEED = 2**31 - 1
MAX_POINTS = 64
MAX_BOXES = 16

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
"""Wide on purpose: whether a point lies in the photo is told with a code of its own (`point_outside`)."""


class Request(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class PointIn(Request):
    """A click, in photo pixels."""

    x: Coordinate
    y: Coordinate
    label: Literal[0, 1] = Field(1, description="1 = product, 0 = background.")


class MaskRequest(Request):
    """Where the product is. Neither points nor boxes = automatic."""

    points: list[PointIn] = Field(default_factory=list, max_length=MAX_POINTS, description="Clicks.")
    boxes: list[tuple[Coordinate, Coordinate, Coordinate, Coordinate]] = Field(
        default_factory=list, max_length=MAX_BOXES, description="Boxes [x0, y0, x1, y1], right and bottom exclusive."
    )
    multimask: bool = Field(True, description="Several candidates, best first, instead of one.")


class CanvasIn(Request):
    """The finished picture's size."""

    width: int = Field(1024, ge=64, le=4096, description="Pixels, 64 to 4096.")
    height: int = Field(1024, ge=64, le=4096, description="Pixels, 64 to 4096.")


class LayerIn(Request):
    """A cutout placed on the canvas."""

    mask_id: str = Field(min_length=1, max_length=64, description="The mask whose cutout is placed.")
    x: float = Field(LayerSpec.x, ge=-1.0, le=2.0, description="The centre, as a fraction of the canvas's width.")
    y: float = Field(LayerSpec.y, ge=-1.0, le=2.0, description="The centre, as a fraction of the canvas's height.")
    scale: float = Field(
        LayerSpec.scale,
        gt=0.0,
        le=4.0,
        description="The cutout's longer side over the canvas's longer side; above 1 it is cropped.",
    )
    rotation_deg: float = Field(LayerSpec.rotation_deg, ge=-360.0, le=360.0, description="Clockwise.")
    flip: bool = Field(LayerSpec.flip, description="Mirror left to right.")


class ShotRequest(Request):
    """One request for images."""

    canvas: CanvasIn = Field(default_factory=CanvasIn, description="Default 1024 x 1024.")
    layers: list[LayerIn] = Field(min_length=1, description="Painted in order; at most `max_layers` (16).")
    background: str = Field(
        "generate",
        pattern=r"^(generate|white|transparent|#[0-9a-fA-F]{6})$",
        description="generate (the engine paints a scene), white, transparent, or a colour #rrggbb.",
    )
    prompt: str = Field("", description="The scene, in words; at most `max_prompt_chars` (2,000).")
    negative_prompt: str = Field("", description="What the scene must not hold; same limit.")
    images: int = Field(1, ge=1, description="How many, each with the next seed; at most `max_images` (8).")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="The first image's seed.")
    steps: int | None = Field(None, ge=1, description="Denoising steps; null = the engine's default.")
    guidance_scale: float | None = Field(None, ge=0.0, description="Weight of the prompt; null = the engine's default.")
    control_scale: float | None = Field(None, ge=0.0, description="Weight of the edges; null = the engine's default.")
    control_start: Fraction = Field(0.0, description="Where in the schedule the edges begin to count.")
    control_end: Fraction = Field(1.0, description="Where in the schedule they cease to count.")
    shadow: ShadowKind = Field("contact", description="A contact shadow under the product, or none.")
    engine: str | None = Field(None, max_length=64, description="A name of GET /v1/engines; null = the default one.")
    priority: Priority = Field("interactive", description="Catalogue work waits longer.")


class ReviewRequest(Request):
    """What a person decided about an image."""

    review: Review | None = Field(description="null takes the decision back.")
    note: str | None = Field(None, max_length=2_000, description="Why, in a person's words.")


class SessionRequest(Request):
    """A key, to be traded for a cookie."""

    key: str = Field(min_length=1, max_length=256, description="A key as `packshot keys create` showed it.")


class PhotoUpload(Request):
    """A photo, as multipart/form-data."""

    file: bytes = Field(description="A JPEG, PNG or WebP image. The bytes decide, and must fit the part's type.")


BODIES: tuple[type[Request], ...] = (PhotoUpload, MaskRequest, ShotRequest, ReviewRequest, SessionRequest)
"""Every body, for the OpenAPI document."""
