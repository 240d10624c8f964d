"""The conditions of a shot: which a request names, and whether its engine takes them."""

from __future__ import annotations

from collections import Counter

from packshot.contract.engines import EngineInfo
from packshot.contract.requests import ShotRequest
from packshot.contract.shot_spec import CONDITION_KINDS, Condition
from packshot.errors import BadInput, FieldError

__all__ = ["broken_conditions", "conditions_of"]

CANNY_FIELDS = ("control_scale", "control_start", "control_end")


def conditions_of(body: ShotRequest, engine: EngineInfo) -> tuple[Condition, ...]:
    """The conditions that a request names, in the order of CONDITION_KINDS, with the engine's defaults filled in.

    The first is canny: from the list, else from the fields control_*. Raises BadInput `engine_cannot` for a kind that
    the engine lacks, and `invalid_request` when a kind is named twice.
    """
    default = engine.defaults.control_scale
    for at, one in enumerate(body.conditions):
        if one.kind not in engine.capabilities.controls:
            has = ", ".join(engine.capabilities.controls) or "none"
            rule = f"must be of a kind in the engine's capabilities.controls ({has}), got {one.kind}"
            remedy = "leave it out, or use an engine that lists it (GET /v1/engines)"
            raise BadInput(
                "engine_cannot",
                f"conditions.{at}.kind {rule}; {remedy}.",
                errors=[{"loc": ["conditions", at, "kind"], "msg": rule}],
            )
    for kind, count in Counter(one.kind for one in body.conditions).items():
        if count > 1:
            raise _twice(f"may name a kind once, got {kind} {count} times; keep one of them", "conditions")
    found = {
        one.kind: Condition(
            kind=one.kind, scale=default if one.scale is None else one.scale, start=one.start, end=one.end
        )
        for one in body.conditions
    }
    given = [name for name in CANNY_FIELDS if name in body.model_fields_set]
    if "canny" in found and given:
        raise _twice(f"may not name canny beside {given[0]}, which means the same; keep one of them", "conditions")
    if "canny" not in found:
        scale = default if body.control_scale is None else body.control_scale
        found["canny"] = Condition(scale=scale, start=body.control_start, end=body.control_end)
    return tuple(found[kind] for kind in CONDITION_KINDS if kind in found)


def _twice(rule: str, field: str) -> BadInput:
    return BadInput("invalid_request", f"{field} {rule}.", errors=[{"loc": [field], "msg": rule}])


def broken_conditions(body: ShotRequest, conditions: tuple[Condition, ...], max_scale: float) -> list[FieldError]:
    """One error for each weight above `max_scale`, and for each window that ends before it starts."""
    numbers = {one.kind: number for number, one in enumerate(body.conditions)}
    errors: list[FieldError] = []
    for one in conditions:
        at: list[str | int] = ["conditions", numbers[one.kind]] if one.kind in numbers else []
        prefix = "" if at else "control_"
        if one.scale > max_scale:
            rule = f"must be at most {max_scale:g}, got {one.scale:g}"
            errors.append({"loc": [*at, f"{prefix}scale"], "msg": rule})
        if one.start > one.end:
            rule = f"must not be after {prefix}end, got {one.start:g} > {one.end:g}"
            errors.append({"loc": [*at, f"{prefix}start"], "msg": rule})
    return errors
