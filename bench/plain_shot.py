"""The shot that measurements start from: one product in a painted scene, without light of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from packshot.contract.light import Shadow
from packshot.contract.shot_spec import Background, Canvas, Condition, LayerSpec, ShotSpec

_PLAIN = ShotSpec(
    canvas=Canvas(1024, 1024),
    layers=(LayerSpec(mask_id="a"),),
    background=Background("generate"),
    prompt="",
    negative_prompt="",
    images=1,
    seed=0,
    steps=1,
    guidance_scale=1.0,
    conditions=(Condition(scale=0.9),),
    shadow=Shadow("none"),
    engine="mini",
)


def plain_shot(**changes: Any) -> ShotSpec:
    """One picture of 1024 x 1024 px with one step, and what `changes` say of `ShotSpec`'s fields."""
    return replace(_PLAIN, **changes)
