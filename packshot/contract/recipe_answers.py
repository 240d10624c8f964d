"""What was asked and what was done, as answers hold it: a resolved request, and the recipe of a picture."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packshot.contract.adapters import AdapterUseAnswer
from packshot.contract.base import Answer, Number, absent
from packshot.contract.enhancement import Target
from packshot.contract.light import RelightMode, ShadowKind
from packshot.contract.product import ProductAnswer
from packshot.contract.retry import RetryCheck
from packshot.contract.shot_spec import ConditionKind, Sampler
from packshot.contract.shot_style import ShotStyleAnswer
from packshot.contract.status import Priority


class CanvasAnswer(Answer):
    """The finished picture's size, in pixels."""

    width: int
    height: int


class LayerAnswer(Answer):
    """A cutout placed on the canvas. `LayerIn` describes the fields."""

    mask_id: str
    x: Number
    y: Number
    scale: Number
    rotation_deg: Number
    flip: bool
    height_mm: Number | None = Field(None, exclude_if=absent, description="Absent if it is not known.")


class ShadowAnswer(Answer):
    """A shadow that is more than its kind."""

    mode: ShadowKind
    direction_deg: Number | None
    length: Number
    softness: Number
    intensity: Number
    tint: str


class ReflectionAnswer(Answer):
    """The product's reflection."""

    strength: Number
    fade: Number
    blur: Number


class ConditionAnswer(Answer):
    """A condition besides the edges."""

    kind: ConditionKind
    scale: Number
    start: Number
    end: Number
    people: tuple[tuple[tuple[Number, Number] | None, ...], ...] | None = Field(
        None, exclude_if=absent, description="Of a pose: the people's points."
    )


class RelightAnswer(Answer):
    """How the product takes its scene's light."""

    mode: RelightMode
    amount: Number


class RetryAnswer(Answer):
    """When a picture is painted again. `RetryIn` describes the fields."""

    max: int
    on: tuple[RetryCheck, ...]


class TryAnswer(Answer):
    """One painting of a picture."""

    seed: int
    failed: tuple[str, ...] = Field(description="The findings of `retry.on` that failed.")
    error: str | None = Field(None, exclude_if=absent, description="The code of the error that ended it; else absent.")


class ProofAnswer(Answer):
    """The proof of a shot's text."""

    text: Literal[True]
    must_read: tuple[str, ...]
    master: str | None = Field(description="The photo id of the artwork that is read; null = the products' photos.")


class ResolvedRequest(Answer):
    """A shot request with every default filled in. `ShotRequest` describes the fields."""

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
    shadow: ShadowKind | ShadowAnswer
    engine: str
    priority: Priority
    reflection: ReflectionAnswer | None = Field(None, exclude_if=absent, description="Absent if there is none.")
    conditions: tuple[ConditionAnswer, ...] | None = Field(
        None, exclude_if=absent, description="Those besides the edges; absent if there are none."
    )
    relight: RelightAnswer | None = Field(None, exclude_if=absent, description="Absent if it is off.")
    sampler: Sampler | None = Field(None, exclude_if=absent, description="Absent if it is the engine's own.")
    style: ShotStyleAnswer | None = Field(
        None, exclude_if=absent, description="With the palette and the light that were found; absent if there is none."
    )
    adapters: tuple[AdapterUseAnswer, ...] | None = Field(
        None, exclude_if=absent, description="With the SHA-256 of each file; absent if there are none."
    )
    retry: RetryAnswer | None = Field(None, exclude_if=absent, description="Absent if pictures are painted once.")
    proof: ProofAnswer | None = Field(None, exclude_if=absent, description="Absent if no text is proven.")
    product: ProductAnswer | None = Field(
        None, exclude_if=absent, description="Absent if the picture shows the layers' own products."
    )


class MarginsAnswer(Answer):
    """By how many pixels a picture grew on each side."""

    left: int
    top: int
    right: int
    bottom: int


class TouchupAnswer(Answer):
    """What was painted anew in another picture. `TouchupRequest` describes the fields."""

    parent_id: str = Field(description="The picture that was touched up.")
    prompt: str
    negative_prompt: str
    seed: int
    strength: Number
    product: bool
    box: tuple[int, int, int, int] = Field(description="The part that the engine painted, XYXY, pixels.")
    margins: MarginsAnswer


class EnhancementAnswer(Answer):
    """What was repainted of a photo. `EnhancementRequest` describes the fields."""

    photo_id: str
    target: Target
    strength: Number
    box: tuple[int, int, int, int] = Field(description="The part that the engine painted, XYXY, pixels.")


class PaintedAnswer(Answer):
    """How a picture was made. The four fields from `pack` on are absent if no engine painted it.

    Together with the shot's `request` it is everything that is needed to make the picture again.
    """

    version: str = Field(description="Version of Packshot.")
    seed: int
    pack: dict[str, str] | None = Field(
        None, exclude_if=absent, description="SHA-256 of each role of the pack, and of the manifest."
    )
    dtype: str | None = Field(None, exclude_if=absent, description="Number format of the networks.")
    device: str | None = Field(None, exclude_if=absent, description="Device on which the networks ran.")
    timing_ms: dict[str, Number] | None = Field(
        None, exclude_if=absent, description="Duration of each stage, milliseconds."
    )
    touchup: TouchupAnswer | None = Field(
        None,
        exclude_if=absent,
        description="Only of a touch-up; `request` is then the touched picture's.",
    )
    tries: tuple[TryAnswer, ...] | None = Field(
        None,
        exclude_if=absent,
        description="Only of a shot with `retry`: every painting, in order. The one of `seed` was kept.",
    )
    enhancement: EnhancementAnswer | None = Field(
        None, exclude_if=absent, description="Only of a repainted photo; `request` has the product on its own place."
    )


class RecipeAnswer(PaintedAnswer):
    """Everything that is needed to make a picture again."""

    request: ResolvedRequest
