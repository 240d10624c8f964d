"""From a request's bytes to what is stored: parsed strictly, checked against limits, every default resolved.

An engine's defaults are looked up when a shot is accepted, so that a later pack cannot change an accepted shot.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TypeVar

from fastapi import Request as HttpRequest
from pydantic import ValidationError
from pydantic_core import from_json

from packshot.api.limits import json_bytes
from packshot.api.problems import refused_fields
from packshot.contract.engines import EngineInfo, SamplingLimits
from packshot.contract.requests import LayerIn, Request, ShotRequest
from packshot.contract.shot_spec import Background, Canvas, Condition, LayerSpec, Shadow, ShotSpec
from packshot.errors import BadInput, FieldError
from packshot.settings import Settings
from packshot.types import BoxXYXY

Body = TypeVar("Body", bound=Request)
Number = TypeVar("Number", int, float)

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
MIN_PRODUCT_PX = 16
"""The longer side of the smallest product that can be placed: as of the smallest photo that is taken."""
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


async def json_body(request: HttpRequest, model: type[Body]) -> Body:
    """The request's JSON as `model`. Raises BadInput (`invalid_json`, `invalid_request`) or TooLarge."""
    data = await json_bytes(request)
    try:
        from_json(data, allow_inf_nan=False)  # the model alone would call NaN a wrong type
    except ValueError as error:
        raise BadInput("invalid_json", f"The body must be JSON, 200 levels deep at most; {error}.") from None
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise refused_fields(error.errors(include_url=False, include_context=False)) from None


def checked_prompt(text: str, field: str, max_chars: int) -> str:
    """`text` in NFC. Raises BadInput `prompt_invalid` for what is too long or holds control or bidi characters."""
    if len(text) > max_chars:
        raise _refused_prompt(field, f"may hold {max_chars} characters, got {len(text)}; shorten it")
    text = unicodedata.normalize("NFC", text)
    for place, character in enumerate(text):
        if character in _BIDI or unicodedata.category(character) in _REFUSED_CATEGORIES:
            raise _refused_prompt(
                field,
                f"may hold no control or bidirectional characters, got U+{ord(character):04X} at {place}; remove it",
            )
    if len(text) > max_chars:
        raise _refused_prompt(field, f"may hold {max_chars} characters, got {len(text)} in NFC; shorten it")
    return text


def _refused_prompt(field: str, rule: str) -> BadInput:
    return BadInput("prompt_invalid", f"{field} {rule}.", errors=[{"loc": [field], "msg": rule}])


def pick_engine(name: str | None, engines: Sequence[EngineInfo]) -> EngineInfo:
    """The engine of that name, or the default one, which is the first. Raises BadInput `unknown_engine`."""
    for engine in engines:
        if name is None or engine.name == name:
            return engine
    served = ", ".join(engine.name for engine in engines) or "none"
    raise BadInput(
        "unknown_engine", f"engine must be one of those served ({served}), got {name!r}; see GET /v1/engines."
    )


def resolved(body: ShotRequest, engines: Sequence[EngineInfo], settings: Settings) -> ShotSpec:
    """The shot as it is stored. Raises BadInput with every bound that is broken."""
    engine = pick_engine(body.engine, engines)
    spec = ShotSpec(
        canvas=Canvas(body.canvas.width, body.canvas.height),
        layers=tuple(LayerSpec(**layer.model_dump()) for layer in body.layers),
        background=Background(body.background.lower()),
        prompt=checked_prompt(body.prompt, "prompt", settings.max_prompt_chars),
        negative_prompt=checked_prompt(body.negative_prompt, "negative_prompt", settings.max_prompt_chars),
        images=body.images,
        seed=body.seed,
        steps=_given(body.steps, engine.defaults.steps),
        guidance_scale=_given(body.guidance_scale, engine.defaults.guidance_scale),
        conditions=(
            Condition(
                kind="canny",
                scale=_given(body.control_scale, engine.defaults.control_scale),
                start=body.control_start,
                end=body.control_end,
            ),
        ),
        shadow=Shadow(body.shadow),
        engine=engine.name,
        priority=body.priority,
    )
    errors = _broken_bounds(spec, engine.limits, settings)
    if errors:
        raise BadInput("invalid_request", "; ".join(f"{row['loc'][0]} {row['msg']}" for row in errors), errors=errors)
    return spec


def _given(value: Number | None, default: Number) -> Number:
    return default if value is None else value


def _broken_bounds(spec: ShotSpec, limits: SamplingLimits, settings: Settings) -> list[FieldError]:
    """What the operator's settings and the engine do not allow, as `errors` of a problem."""
    canny = spec.conditions[0]
    bounds: tuple[tuple[str, float, float], ...] = (
        ("images", spec.images, settings.max_images),
        ("steps", spec.steps, limits.max_steps),
        ("guidance_scale", spec.guidance_scale, limits.max_guidance_scale),
        ("control_scale", canny.scale, limits.max_control_scale),
    )
    errors: list[FieldError] = [
        {"loc": [name], "msg": f"must be at most {most:g}, got {value:g}"}
        for name, value, most in bounds
        if value > most
    ]
    if len(spec.layers) > settings.max_layers:
        errors.append({"loc": ["layers"], "msg": f"must be at most {settings.max_layers}, got {len(spec.layers)}"})
    if canny.start > canny.end:
        rule = f"must not be after control_end, got {canny.start:g} > {canny.end:g}"
        errors.append({"loc": ["control_start"], "msg": rule})
    return errors


def check_layer(index: int, layer: LayerIn, bbox_xyxy: BoxXYXY, canvas: tuple[int, int]) -> None:
    """Refuse a layer that would not show. `bbox_xyxy`: the mask's; `canvas`: (width, height) in pixels.

    A turned layer is judged by its diagonal, so that no layer that shows is refused. Raises BadInput `mask_empty`,
    `mask_too_small` or `layer_outside`.
    """
    width, height = bbox_xyxy[2] - bbox_xyxy[0], bbox_xyxy[3] - bbox_xyxy[1]
    if width <= 0 or height <= 0:
        raise BadInput("mask_empty", f"layers.{index}: a mask must hold product pixels, {layer.mask_id} holds none.")
    if max(width, height) < MIN_PRODUCT_PX:
        rule = f"must hold a product of at least {MIN_PRODUCT_PX} px on its longer side, got {width} x {height} px"
        raise BadInput(
            "mask_too_small",
            f"layers.{index}: mask {layer.mask_id} {rule}; click on the whole product, or take the photo from nearer.",
            errors=[{"loc": ["layers", index, "mask_id"], "msg": rule}],
        )
    factor = layer.scale * max(canvas) / max(width, height)
    placed_width, placed_height = width * factor, height * factor
    rule = ""
    if round(layer.scale * max(canvas)) < 1 or min(placed_width, placed_height) < 0.5:
        rule = f"would be {placed_width:.2f} x {placed_height:.2f} px; raise scale (got {layer.scale:g})"
    else:
        reach_x, reach_y = placed_width / 2, placed_height / 2
        if layer.rotation_deg % 180:
            reach_x = reach_y = (placed_width**2 + placed_height**2) ** 0.5 / 2
        centre_x, centre_y = layer.x * canvas[0], layer.y * canvas[1]
        across = -reach_x < centre_x < canvas[0] + reach_x
        along = -reach_y < centre_y < canvas[1] + reach_y
        if not (across and along):
            rule = f"lies outside the canvas; move x, y (got {layer.x:g}, {layer.y:g}) towards 0..1"
    if rule:
        raise BadInput("layer_outside", f"layers.{index} {rule}.", errors=[{"loc": ["layers", index], "msg": rule}])
