"""The answer of `GET /v1/engines`. Shots are accepted with these defaults and limits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packshot.contract.base import Answer
from packshot.contract.shot_spec import ConditionKind, Sampler, ShotSpec


class SamplingDefaults(Answer):
    """The values that an engine uses for fields that a request leaves out."""

    prompt: str = Field(description="Replaces a prompt without any known word; empty = no replacement.")
    steps: int = Field(description="Denoising steps.")
    guidance_scale: float = Field(description="Weight of the prompt.")
    control_scale: float = Field(description="Weight of the product's edges.")
    guidance_rescale: float = Field(
        description="Share of the guided prediction that is rescaled to the prompt's own contrast, 0 to 1; 0 = off."
    )


class SamplingLimits(Answer):
    """An engine's limits. The server refuses a shot that exceeds one."""

    max_steps: int = Field(description="Largest allowed `steps`.")
    max_guidance_scale: float = Field(description="Largest allowed `guidance_scale`.")
    max_control_scale: float = Field(description="Largest allowed `control_scale`.")


class EngineCapabilities(Answer):
    """What an engine can honour. The server refuses a shot that asks for more, with the code `engine_cannot`."""

    controls: tuple[ConditionKind, ...] = Field(
        ("canny",), description="The kinds of `conditions` that it takes; canny is also `control_scale`."
    )
    negative_prompt: bool = Field(True, description="Whether it takes a `negative_prompt`.")
    guidance: bool = Field(True, description="Whether it takes a `guidance_scale`.")
    samplers: tuple[Sampler, ...] = Field((), description="The values of `sampler` that it takes; empty = its own.")
    references: int = Field(0, ge=0, description="The most reference pictures whose scene it can follow; 0 = none.")
    adapters: int = Field(0, ge=0, description="The most `adapters` that a shot can have; 0 = it takes none.")
    upscaler: bool = Field(
        False,
        description="Whether a network enlarges the scene for a canvas that is 1.25 times as large or more; else it is "
        "resized by Lanczos, and looks soft above 2 times.",
    )
    decoder_scale: int = Field(
        1,
        ge=1,
        description="How many times as wide and as high as the painted size the decoded scene is. The canvas enlarges "
        "it from there.",
    )
    seeds: bool = Field(True, description="Whether the same `seed` gives the same picture again.")
    steps: tuple[int, int] = Field((1, 150), description="Fewest and most `steps`.")
    sizes: tuple[tuple[int, int], ...] = Field(
        (), description="Widths and heights at which it paints, pixels; a canvas of another size gets the nearest."
    )


class LicenceTerms(Answer):
    """What a pack's licences allow and demand, the strictest of its parts."""

    commercial: Literal["yes", "no", "limited"] = Field(
        description="Whether commercial use is allowed: yes, no, or within limits."
    )
    revenue_usd: int | None = Field(
        None, gt=0, description="Largest yearly revenue of who uses it commercially, US dollars; null = no bound."
    )
    attribution: bool = Field(False, description="Whether published pictures must name the model or its makers.")
    disclosure: bool = Field(False, description="Whether people must be told that pictures are machine-made.")
    restrictions: str = Field("", description="What the licence forbids or demands besides, in words.")


class EngineInfo(Answer):
    """One engine and its pack."""

    name: str = Field(description="The value of `engine` in a shot request.")
    title: str = Field(description="Display name.")
    family: str = Field(description="The family of networks, such as mini, sdxl or flux2.")
    recipe: str = Field("unet_controlnet", description="How it paints: the kind of its networks and of its steps.")
    licence: str = Field(description="The licence of the pack as a whole.")
    commercial: bool = Field(description="Whether the licence allows commercial use; `terms` state its limits.")
    terms: LicenceTerms | None = Field(None, description="What the licence allows and demands.")
    renderable: bool = Field(description="Whether this version can paint with the pack.")
    reason: str = Field(description="Why this version cannot paint with the pack; empty if it can.")
    native_px: tuple[int, int] = Field(description="Width and height at which the networks were trained, pixels.")
    buckets: tuple[tuple[int, int], ...] = Field(description="Widths and heights at which it can paint, pixels.")
    prediction_type: str = Field(description="epsilon, v_prediction, sample or flow_prediction: what it predicts.")
    defaults: SamplingDefaults
    limits: SamplingLimits
    capabilities: EngineCapabilities = EngineCapabilities()
    price_device_s: float = Field(
        0.0,
        ge=0,
        description="Device-seconds that each picture counts as, for an engine whose vendor is paid for it, which "
        "needs a budget; 0 = the time that was measured.",
    )
    licences: dict[str, str] = Field(description="The licence of each role's weights.")

    def price_of(self, spec: ShotSpec) -> float:
        """What the engine's vendor is paid for a shot at most, in device-seconds; 0 for an engine of our own."""
        return self.price_device_s * spec.paintings if spec.background.generated else 0.0


class EnginesAnswer(Answer):
    """All engines that are served. The first one is the default."""

    engines: tuple[EngineInfo, ...]
    finds_words: bool = Field(description="Whether words may name the product: `text` of a mask, `find` of a row.")
