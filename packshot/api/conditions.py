"""The conditions of a shot: which a request names, and whether its engine takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from packshot.contract.engines import EngineInfo
from packshot.contract.requests import MAX_PEOPLE, ConditionIn, ShotRequest
from packshot.contract.shot_spec import CONDITION_KINDS, POINTS, Condition, ConditionKind
from packshot.errors import BadInput, FieldError

__all__ = ["CANNY_FIELDS", "broken_conditions", "conditions_of", "named_conditions"]

CANNY_FIELDS = ("control_scale", "control_start", "control_end")


def conditions_of(body: ShotRequest, engine: EngineInfo) -> tuple[Condition, ...]:
    """The conditions that a request names, in the order of CONDITION_KINDS, with the engine's defaults filled in.

    The first is canny, if the engine has it: from the list, else from the fields control_*. Raises BadInput as
    `named_conditions` does, and `invalid_request` when list and fields both name canny.
    """
    found = named_conditions(body.conditions, engine)
    given = [name for name in CANNY_FIELDS if name in body.model_fields_set]
    if "canny" in found and given:
        raise _refused(f"may not name canny beside {given[0]}, which says the same; keep one of them")
    if "canny" not in found and "canny" in engine.capabilities.controls:
        scale = engine.defaults.control_scale if body.control_scale is None else body.control_scale
        found["canny"] = Condition(scale=scale, start=body.control_start, end=body.control_end)
    return tuple(found[kind] for kind in CONDITION_KINDS if kind in found)


def named_conditions(asked: Sequence[ConditionIn], engine: EngineInfo) -> dict[ConditionKind, Condition]:
    """The conditions of a list by kind, with the engine's default weight filled in.

    Raises BadInput `engine_cannot` for a kind that the engine lacks, and `invalid_request` when a kind is named twice,
    a pose has no people, or another kind has some.
    """
    for at, one in enumerate(asked):
        if one.kind not in engine.capabilities.controls:
            has = ", ".join(engine.capabilities.controls) or "none"
            rule = f"must be of a kind in the engine's capabilities.controls ({has}), got {one.kind}"
            raise BadInput(
                "engine_cannot",
                f"conditions.{at}.kind {rule}; leave it out, or use an engine that lists it (GET /v1/engines).",
                errors=[{"loc": ["conditions", at, "kind"], "msg": rule}],
            )
    for kind, count in Counter(one.kind for one in asked).items():
        if count > 1:
            raise _refused(f"may name a kind once, got {kind} {count} times; keep one of them")
    for at, one in enumerate(asked):
        _check_people(at, one)
    default = engine.defaults.control_scale
    return {
        one.kind: Condition(
            kind=one.kind,
            scale=default if one.scale is None else one.scale,
            start=one.start,
            end=one.end,
            people=tuple(tuple(person) for person in one.people),
        )
        for one in asked
    }


def _check_people(at: int, asked: ConditionIn) -> None:
    seen = [sum(point is not None for point in person) for person in asked.people]
    if asked.kind != "pose":
        rule = f"are for the kind pose, got {len(seen)} for {asked.kind}; leave them out" if seen else None
    elif not seen:
        rule = f"must hold 1 to {MAX_PEOPLE} people for the kind pose, got none; send the {POINTS} points of each"
    else:
        rule = f"must show two points of each person, got {min(seen)}; leave that one out" if min(seen) < 2 else None
    if rule is not None:
        found: list[FieldError] = [{"loc": ["conditions", at, "people"], "msg": rule}]
        raise BadInput("invalid_request", f"conditions.{at}.people {rule}.", errors=found)


def _refused(rule: str) -> BadInput:
    return BadInput("invalid_request", f"conditions {rule}.", errors=[{"loc": ["conditions"], "msg": rule}])


def broken_conditions(
    asked: Sequence[ConditionIn], conditions: Iterable[Condition], max_scale: float
) -> list[FieldError]:
    """One error for each weight above `max_scale`, and for each window that ends before it starts.

    `asked` is the list that names some of the conditions; canny may come from the fields control_* instead.
    """
    numbers = {one.kind: number for number, one in enumerate(asked)}
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
