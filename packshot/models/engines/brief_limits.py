"""What an engine refuses before it paints: a brief beyond its pack's limits, and a condition that it lacks."""

from __future__ import annotations

from packshot.contract.shot_spec import Condition
from packshot.errors import BadInput, FieldError
from packshot.models.packs.pack import Pack
from packshot.types import Scene

__all__ = ["check_limits"]


MIN_STRENGTH = 0.01
"""The smallest part of the schedule that is run."""


def check_limits(scene: Scene, pack: Pack) -> None:
    """Raise BadInput: `invalid_request` for a value beyond the pack's limits, `engine_cannot` for a condition or a
    sampler that the pack does not serve."""
    brief, limits = scene.brief, pack.manifest.limits
    _check("steps", brief.steps, 1, limits.max_steps, pack)
    _check("guidance_scale", brief.guidance_scale, 0, limits.max_guidance_scale, pack)
    _check("strength", brief.strength, MIN_STRENGTH, 1, pack)
    if scene.references is not None and pack.references is None:
        rule = f"references need an engine that follows them, pack {pack.name!r} does not"
        errors: list[FieldError] = [{"loc": ["style", "references"], "msg": rule}]
        raise BadInput("engine_cannot", f"{rule}; leave out the part `scene` of the style", errors=errors)
    if scene.adapters and not pack.adapters:
        rule = f"adapters need an engine that takes them, pack {pack.name!r} does not"
        raise BadInput("engine_cannot", f"{rule}; leave them out", errors=[{"loc": ["adapters"], "msg": rule}])
    samplers = pack.manifest.samplers
    if brief.sampler is not None and brief.sampler not in samplers:
        rule = f"sampler must be one that pack {pack.name!r} lists ({', '.join(samplers) or 'none'})"
        message = f"{rule}, got {brief.sampler}"
        raise BadInput("engine_cannot", f"{message}; leave it out", errors=[{"loc": ["sampler"], "msg": message}])
    for kind, condition in brief.all_conditions.items():
        prefix = "control" if kind == "canny" else kind
        _check_condition(prefix, condition, limits.max_control_scale, pack)
        if condition.scale and kind not in pack.controls:
            rule = f"a condition must be one that pack {pack.name!r} serves ({', '.join(pack.controls)}), got {kind}"
            raise BadInput("engine_cannot", f"{rule}; leave it out", errors=[{"loc": ["conditions"], "msg": rule}])
        if kind != "canny" and condition.scale and kind not in scene.maps.made:
            rule = f"a condition needs its map, got {kind} without one"
            raise BadInput("invalid_request", rule, errors=[{"loc": ["conditions"], "msg": rule}])


def _check_condition(prefix: str, condition: Condition, max_scale: float, pack: Pack) -> None:
    _check(f"{prefix}_scale", condition.scale, 0, max_scale, pack)
    _check(f"{prefix}_start", condition.start, 0, 1, pack)
    _check(f"{prefix}_end", condition.end, condition.start, 1, pack)


def _check(name: str, value: float, least: float, most: float, pack: Pack) -> None:
    if not least <= value <= most:  # also true for NaN
        detail = f"{name} must be between {least} and {most} for pack {pack.name!r}, got {value}"
        raise BadInput("invalid_request", detail, errors=[{"loc": [name], "msg": detail}])
