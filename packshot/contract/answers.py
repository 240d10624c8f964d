"""What the server answers. Engines, presets and events have modules of their own.

Fields that answers of today always carry have no default, so that `/openapi.json` calls them required.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packshot.contract.base import Answer, Moment, Number, absent
from packshot.contract.shot_spec import ShadowKind
from packshot.contract.status import Priority, Review, Status
from packshot.contract.verdict import Level


class HealthAnswer(Answer):
    """The process, or the graph, answers."""

    status: Literal["ok"]


class SessionAnswer(Answer):
    """A session, whose cookie came with this answer."""

    tenant: str = Field(description="The name of the tenant that the key belongs to.")
    expires_at: Moment = Field(description="When the cookie ends.")


class PhotoAnswer(Answer):
    """An uploaded photo."""

    id: str
    width: int = Field(description="Of the normalised photo, pixels.")
    height: int = Field(description="Of the normalised photo, pixels.")
    format: str = Field(description="Of the upload: jpeg, png, webp.")
    bytes: int = Field(description="Size of the upload.")
    sha256: str = Field(description="Of the upload's bytes, hexadecimal.")
    url: str = Field(description="Path of the normalised photo.")


class MaskAnswer(Answer):
    """One candidate for the product."""

    id: str
    score: float = Field(description="The overlap with the product that the network predicts, 0 to 1.")
    area: int = Field(description="Product pixels.")
    bbox: tuple[int, int, int, int] = Field(
        description="Tight box of the product [x0, y0, x1, y1] in photo pixels, right and bottom exclusive."
    )
    url: str = Field(description="Path of the mask.")
    cutout_url: str = Field(description="Path of the product, cut out.")


class MasksAnswer(Answer):
    """Candidates for the product, best first."""

    masks: tuple[MaskAnswer, ...]


class FindingAnswer(Answer):
    """One thing that inspection found."""

    check: str = Field(description="Which check found it.")
    level: Level
    detail: str = Field(description="What was found, in words.")
    value: Number | None = Field(description="The measured number behind `detail`, where there is one.")


class VerdictAnswer(Answer):
    """What inspection found about an image."""

    level: Level = Field(description="The level of the worst finding.")
    findings: tuple[FindingAnswer, ...]


class ImageAnswer(Answer):
    """A finished picture inside its shot."""

    id: str
    seed: int
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    url: str = Field(description="Path of the picture.")
    verdict: VerdictAnswer


class CanvasAnswer(Answer):
    """The finished picture's size, in pixels."""

    width: int
    height: int


class LayerAnswer(Answer):
    """A cutout as it was placed on the canvas; see `LayerIn`."""

    mask_id: str
    x: Number
    y: Number
    scale: Number
    rotation_deg: Number
    flip: bool


class ResolvedRequest(Answer):
    """A shot request with every default filled in; see `ShotRequest`."""

    canvas: CanvasAnswer
    layers: tuple[LayerAnswer, ...]
    background: str
    prompt: str
    negative_prompt: str
    images: int
    seed: int
    steps: int
    guidance_scale: Number
    control_scale: Number
    control_start: Number
    control_end: Number
    shadow: ShadowKind
    engine: str
    priority: Priority


class RecipeAnswer(Answer):
    """What it takes to make a picture again. The last four fields are absent where no engine painted."""

    version: str = Field(description="Of Packshot.")
    seed: int
    request: ResolvedRequest
    pack: dict[str, str] | None = Field(
        None, exclude_if=absent, description="The sha256 of each role, and of the manifest."
    )
    dtype: str | None = Field(None, exclude_if=absent, description="Arithmetic of the networks.")
    device: str | None = Field(None, exclude_if=absent, description="Where they ran.")
    timing_ms: dict[str, Number] | None = Field(None, exclude_if=absent, description="What each stage took.")


class WholeImageAnswer(ImageAnswer):
    """A finished picture by itself, with its review and its recipe."""

    shot_id: str
    review: Review | None = Field(description="What a person decided; null = not yet.")
    note: str | None = Field(description="Why, in the person's words.")
    recipe: RecipeAnswer
    created_at: Moment


class ErrorAnswer(Answer):
    """Why a shot failed. `code` is one of the codes of problems."""

    code: str
    detail: str


class AcceptedAnswer(Answer):
    """A shot that is stored."""

    id: str
    status: Status
    position: int = Field(description="Shots that would be started before this one now; 0 = next, running or ended.")
    url: str = Field(description="Path of the shot.")
    events_url: str = Field(description="Path of its event stream.")


class ShotAnswer(Answer):
    """A shot as it stands."""

    id: str
    status: Status
    position: int = Field(description="Shots that would be started before this one now; 0 = next, running or ended.")
    step: int = Field(description="Denoising steps taken, over all pictures.")
    steps: int = Field(description="Denoising steps of the whole shot.")
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    images: tuple[ImageAnswer, ...]
    error: ErrorAnswer | None = Field(None, exclude_if=absent, description="Only of a failed shot.")


class ShotPage(Answer):
    """A page of shots, newest first."""

    shots: tuple[ShotAnswer, ...]
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last one.")
