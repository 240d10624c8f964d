"""What clients read about an engine: `GET /v1/engines`, and the defaults and limits with which a shot is accepted."""

from __future__ import annotations

from pydantic import Field

from packshot.contract.base import Answer


class SamplingDefaults(Answer):
    """What an engine samples with where a request says nothing."""

    prompt: str = Field(description="The scene that is painted for an empty prompt; empty = the engine's own.")
    steps: int = Field(description="Denoising steps.")
    guidance_scale: float = Field(description="Weight of the prompt.")
    control_scale: float = Field(description="Weight of the product's edges.")
    guidance_rescale: float = Field(description="How far guided noise is rescaled, 0 to 1; 0 = off.")


class SamplingLimits(Answer):
    """What a shot may ask of an engine. A shot over a limit is refused."""

    max_steps: int = Field(description="Highest `steps`.")
    max_guidance_scale: float = Field(description="Highest `guidance_scale`.")
    max_control_scale: float = Field(description="Highest `control_scale`.")


class EngineInfo(Answer):
    """One engine and the pack that it comes from."""

    name: str = Field(description="The name that a shot request gives in `engine`.")
    title: str = Field(description="A name for people.")
    family: str = Field(description="The family of networks, such as mini, sd15 or sdxl.")
    licence: str = Field(description="The licence of the pack as a whole.")
    commercial: bool = Field(description="Whether the licence allows commercial use.")
    renderable: bool = Field(description="Whether this version can paint with the pack.")
    reason: str = Field(description="Why it cannot; empty where it can.")
    native_px: tuple[int, int] = Field(description="Width and height at which the engine paints best, pixels.")
    buckets: tuple[tuple[int, int], ...] = Field(description="Every width and height at which it paints, pixels.")
    prediction_type: str = Field(description="What the network predicts: epsilon, v_prediction or sample.")
    defaults: SamplingDefaults
    limits: SamplingLimits
    licences: dict[str, str] = Field(description="The licence of each role's weights.")


class EnginesAnswer(Answer):
    """Every engine served. The first one is the default."""

    engines: tuple[EngineInfo, ...]
