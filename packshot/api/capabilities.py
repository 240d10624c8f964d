"""Whether an engine can honour what a shot asks for. A field that it cannot honour is refused, never ignored."""

from __future__ import annotations

from packshot.api.conditions import CANNY_FIELDS
from packshot.contract.engines import EngineInfo
from packshot.contract.requests import ShotRequest
from packshot.contract.shot_spec import Sampler
from packshot.errors import BadInput

__all__ = ["cannot", "check_capabilities", "check_guidance", "check_negative_prompt", "check_sampler"]


def check_capabilities(body: ShotRequest, engine: EngineInfo) -> None:
    """Raise BadInput `engine_cannot` for a field that was sent and that the engine cannot honour.

    Null and absent fields are always allowed, and so is a weight of 0, an empty text or the engine's own guidance.
    """
    has = engine.capabilities
    check_negative_prompt("negative_prompt", body.negative_prompt, engine)
    check_guidance("guidance_scale", body.guidance_scale, engine)
    check_sampler("sampler", body.sampler, engine)
    if len(body.adapters) > has.adapters:
        raise cannot(engine, "adapters", "needs the capability adapters", ", ".join(one.id for one in body.adapters))
    if "canny" not in has.controls:
        for name in CANNY_FIELDS:
            value = getattr(body, name)
            if name in body.model_fields_set and value not in (None, 0.0 if name != "control_end" else 1.0):
                raise cannot(engine, name, "needs canny in the capability controls", value)


def check_negative_prompt(field: str, text: str, engine: EngineInfo) -> None:
    """Raise BadInput `engine_cannot` for a negative prompt that the engine does not take, in the request's `field`."""
    if text and not engine.capabilities.negative_prompt:
        raise cannot(engine, field, "needs the capability negative_prompt", text)


def check_guidance(field: str, scale: float | None, engine: EngineInfo) -> None:
    """Raise BadInput `engine_cannot` for a guidance scale that the engine does not take, in the request's `field`."""
    if scale not in (None, engine.defaults.guidance_scale) and not engine.capabilities.guidance:
        raise cannot(engine, field, "needs the capability guidance", scale)


def check_sampler(field: str, sampler: Sampler | None, engine: EngineInfo) -> None:
    """Raise BadInput `engine_cannot` for a sampler that the engine does not list, in the request's field `field`."""
    if sampler is not None and sampler not in engine.capabilities.samplers:
        listed = ", ".join(engine.capabilities.samplers) or "none"
        raise cannot(engine, field, f"needs one of the capability samplers ({listed})", sampler)


def cannot(engine: EngineInfo, field: str, rule: str, value: object) -> BadInput:
    """The refusal of a field: `rule` says which capability its value needs."""
    shown = str(value) if len(str(value)) <= 40 else f"{str(value)[:40]}…"
    message = f"{rule}, which engine {engine.name!r} lacks, got {shown!r}"
    remedy = "leave it out, or use an engine that lists it (GET /v1/engines)"
    return BadInput("engine_cannot", f"{field} {message}; {remedy}.", errors=[{"loc": [field], "msg": message}])
