"""The body of `POST /v1/photos/{id}/enhancements`, and its examples."""

from __future__ import annotations

from pydantic import Field, field_validator

from packshot.contract.adapters import MAX_ADAPTERS, AdapterIn, each_adapter_once
from packshot.contract.enhancement import Target
from packshot.contract.examples import ACCEPTED
from packshot.contract.requests import (
    MAX_META,
    MAX_SEED,
    MAX_SKU_CHARS,
    MAX_WORDS_CHARS,
    MetaName,
    MetaValue,
    ProofIn,
    Request,
)
from packshot.contract.shot_spec import Sampler
from packshot.contract.status import Priority


class EnhancementRequest(Request):
    """What to repaint in a photo. `mask_id` or `text` say what the product is; without both it is found by itself."""

    target: Target = Field(
        "product",
        description="product (its scene stays, pixel for pixel), scene (the product stays), or all.",
    )
    mask_id: str | None = Field(
        None, min_length=1, max_length=64, description="A mask of the product in this photo; not with text."
    )
    text: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_WORDS_CHARS,
        description="Words that name the product, such as `red mug`. A photo without it is refused: 422 `no_product`.",
    )
    not_text: str | None = Field(
        None, min_length=1, max_length=MAX_WORDS_CHARS, description="Words that name what it is not; with text."
    )
    strength: float | None = Field(
        None,
        ge=0.01,
        le=1.0,
        description="How much of the schedule is run, from the photo's own pixels; 1 paints from nothing. null = 0.35 "
        "for the product, 0.6 for the scene, 0.5 for all.",
    )
    prompt: str = Field("", description="What the repainted part shows; at most `max_prompt_chars` characters.")
    negative_prompt: str = Field("", description="What it should not show; same limit.")
    seed: int = Field(0, ge=0, le=MAX_SEED)
    steps: int | None = Field(None, ge=1, description="Denoising steps; null = the engine's default.")
    guidance_scale: float | None = Field(None, ge=0.0, description="Weight of the prompt; null = the engine's default.")
    sampler: Sampler | None = Field(None, description="As for a shot; null = the engine's own.")
    control_scale: float | None = Field(
        None, ge=0.0, description="Weight of the product's own edges; null = the engine's default."
    )
    adapters: list[AdapterIn] = Field(
        default_factory=list,
        max_length=MAX_ADAPTERS,
        description="LoRAs and textual inversions, as a shot's `adapters`: such as one that knows the product.",
    )
    engine: str | None = Field(
        None, max_length=64, description="Name of an engine of GET /v1/engines; null = the default engine."
    )
    proof: ProofIn | None = Field(
        None, description="Prove that the product's text was not changed, as a shot's `proof`; null = it is not read."
    )
    priority: Priority = Field("interactive", description="interactive, or catalogue for work that may wait.")
    project_id: str | None = Field(None, min_length=1, max_length=64, description="The project that the picture joins.")
    sku: str | None = Field(None, min_length=1, max_length=MAX_SKU_CHARS, description="Your article's number.")
    meta: dict[MetaName, MetaValue] = Field(
        default_factory=dict, max_length=MAX_META, description="Your own notes, as for a shot."
    )

    _adapters_once = field_validator("adapters")(each_adapter_once)


OF_SHOT = frozenset(EnhancementRequest.model_fields) - {"target", "mask_id", "text", "not_text", "strength"}
"""The fields that mean what they mean in a shot."""
ENHANCEMENT_BODIES: tuple[type[Request], ...] = (EnhancementRequest,)
"""The request bodies of this module, for the OpenAPI document."""

ENHANCEMENT_REQUEST = EnhancementRequest(text="red mug", prompt="a glossy red mug", seed=3)
ENHANCEMENT = ACCEPTED.model_copy(update={"kind": "enhancement"})
