"""Small shots for tests: a resolved `ShotSpec`, and the recipe of one of its images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from packshot.contract.light import Shadow
from packshot.contract.recipe import EngineStamp, Recipe
from packshot.contract.shot_spec import Background, Canvas, Condition, LayerSpec, ShotSpec

STAMP = EngineStamp(pack={"manifest": "0" * 64}, dtype="float32", device="cpu")


def spec_of(*mask_ids: str, **changes: Any) -> ShotSpec:
    """A small shot of these masks, with `changes` to its fields."""
    spec = ShotSpec(
        canvas=Canvas(8, 8),
        layers=tuple(LayerSpec(mask_id=one) for one in mask_ids),
        background=Background("generate"),
        prompt="",
        negative_prompt="",
        images=1,
        seed=7,
        steps=4,
        guidance_scale=1.0,
        conditions=(Condition(scale=0.8),),
        shadow=Shadow("none"),
        engine="mini",
    )
    return replace(spec, **changes)


def recipe_of(seed: int, spec: ShotSpec | None = None, **timing_ms: float) -> Recipe:
    """The recipe of an image that was painted with that seed."""
    return Recipe(version="0", seed=seed, spec=spec or spec_of(), engine=STAMP, timing_ms=timing_ms)
