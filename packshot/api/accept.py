"""Turn a request's bytes into the `ShotSpec` that is stored: parse strictly, check limits, fill in defaults.

An engine's defaults are filled in when a shot is accepted, so a later pack cannot change an accepted shot.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from fastapi import Request as HttpRequest
from pydantic import ValidationError
from pydantic_core import from_json

from packshot.api.adapting import adapters_of
from packshot.api.capabilities import check_capabilities
from packshot.api.conditions import broken_conditions, conditions_of
from packshot.api.limits import MAX_JSON_BYTES, json_bytes
from packshot.api.problems import refused_fields
from packshot.api.products import product_of
from packshot.api.styling import style_of
from packshot.contract.engines import EngineInfo, SamplingLimits
from packshot.contract.light import Reflection, Relight, Shadow
from packshot.contract.projects import MAX_NAME_CHARS
from packshot.contract.proof import Proof
from packshot.contract.requests import LayerIn, ProofIn, Request, ShadowIn, ShotRequest
from packshot.contract.retry import Retry
from packshot.contract.shot_spec import Background, Canvas, LayerSpec, ShotSpec
from packshot.contract.style import Style
from packshot.errors import BadInput, FieldError, UnsupportedMedia
from packshot.settings import Settings
from packshot.types import BoxXYXY

Body = TypeVar("Body", bound=Request)
Number = TypeVar("Number", int, float)

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
MIN_PRODUCT_PX = 16
"""Shortest allowed longer side of a product in pixels. The smallest accepted photo has the same longer side."""
MAX_SHOWN_PX = 4 * 4096 * 4096
"""Pixels that a shot's layers may cover together: four times the largest canvas."""

CUTOUTS_OF_PHOTOS = 4
"""The cutouts of a shot may together have this many times the pixels of the largest photo."""

_ADAPTER_TAG = re.compile(r"<(?:lora|lyco|hypernet)\s*:[^>]*>?", re.IGNORECASE)
"""How other programs name adapters inside a prompt."""
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


async def json_body(request: HttpRequest, model: type[Body], max_bytes: int = MAX_JSON_BYTES) -> Body:
    """Parse the request's JSON body as `model`.

    Raises UnsupportedMedia when the body's type is another than JSON, BadInput `invalid_json` when the body is not JSON
    or an object names a field twice, BadInput `invalid_request` when it does not match the model, and TooLarge when it
    is longer than `max_bytes`.
    """
    _require_json(request.headers.get("content-type"))
    data = await json_bytes(request, max_bytes)
    try:
        from_json(data, allow_inf_nan=False)  # the model alone would report NaN as a wrong type
    except ValueError as error:
        raise BadInput("invalid_json", f"The body must be JSON, nested at most 200 levels deep: {error}.") from None
    json.loads(data, object_pairs_hook=_refuse_duplicates)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise refused_fields(error.errors(include_url=False, include_context=False)) from None


def _require_json(content_type: str | None) -> None:
    """Raise UnsupportedMedia unless the type is `application/json`, one that ends in `+json`, or absent.

    A page of another site can send text and forms without asking; the browser asks first for JSON.
    """
    if content_type is None:
        return
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        rule = f"a JSON body must have the type application/json, or none, got {content_type[:60]!r}"
        raise UnsupportedMedia("body_type", f"{rule}; send `content-type: application/json`.")


def _refuse_duplicates(members: list[tuple[str, object]]) -> None:
    names = [name for name, _ in members]
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)[:60]
        rule = f"an object may name a field once, got {name!r} twice; keep one"
        raise BadInput("invalid_json", f"{rule}.", errors=[{"loc": [name], "msg": rule}])


def checked_prompt(text: str, field: str, max_chars: int) -> str:
    """Return `text` in Unicode normalisation form NFC.

    `field` is the name that error texts use. `max_chars` limits the text before and after normalisation. Raises
    BadInput `prompt_invalid` when the text is too long or has control or bidirectional characters.
    """
    if len(text) > max_chars:
        raise _refused_prompt(field, f"must have at most {max_chars} characters, got {len(text)}; shorten it")
    text = unicodedata.normalize("NFC", text)
    if len(text) > max_chars:
        raise _refused_prompt(field, f"must have at most {max_chars} characters, got {len(text)} in NFC; shorten it")
    if rule := _broken_character_rule(text):
        raise _refused_prompt(field, f"{rule}; remove it")
    if found := _ADAPTER_TAG.search(text):
        rule = f"must not name adapters, got {found[0][:60]!r}"
        raise _refused_prompt(field, f'{rule}; send adapters: [{{"id": "ad_…", "scale": -2..2}}] beside the prompt')
    return text


def checked_name(text: str) -> str:
    """Return a project's or style's name in Unicode NFC, without spaces at its ends. Raises BadInput `name_invalid`."""
    name = unicodedata.normalize("NFC", text).strip()
    rule = _broken_character_rule(name)
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        rule = f"must have 1 to {MAX_NAME_CHARS} characters besides spaces at its ends, got {len(name)}"
    if rule:
        raise BadInput("name_invalid", f"name {rule}; choose another name.", errors=[{"loc": ["name"], "msg": rule}])
    return name


def checked_word(text: str) -> str:
    """Return a forbidden word in Unicode NFC, without spaces at its ends. Raises BadInput `invalid_request`."""
    word = unicodedata.normalize("NFC", text).strip()
    if not word:
        rule = "a forbidden word must have a character besides spaces, got none"
        raise BadInput("invalid_request", f"{rule}; leave it out.", errors=[{"loc": ["forbidden_words"], "msg": rule}])
    return checked_label(word, "forbidden_words")


def checked_label(text: str, field: str) -> str:
    """Return a client's own text unchanged. Raises BadInput when it has control or bidirectional characters."""
    if rule := _broken_character_rule(text):
        raise BadInput("invalid_request", f"{field} {rule}; remove it.", errors=[{"loc": [field], "msg": rule}])
    return text


def _broken_character_rule(text: str) -> str:
    """The rule that the first control or bidirectional character breaks, or an empty text."""
    for index, character in enumerate(text):
        if character in _BIDI or unicodedata.category(character) in _REFUSED_CATEGORIES:
            return f"must not have control or bidirectional characters, got U+{ord(character):04X} at index {index}"
    return ""


def _refused_prompt(field: str, rule: str) -> BadInput:
    return BadInput("prompt_invalid", f"{field} {rule}.", errors=[{"loc": [field], "msg": rule}])


def pick_engine(name: str | None, engines: Sequence[EngineInfo]) -> EngineInfo:
    """Return the engine called `name`. None selects the default engine, which is the first.

    Raises BadInput `unknown_engine` when no such engine is served.
    """
    for engine in engines:
        if name is None or engine.name == name:
            return engine
    served = ", ".join(engine.name for engine in engines) or "none"
    raise BadInput("unknown_engine", f"engine must be a served engine ({served}), got {name!r}; see GET /v1/engines.")


def _shadow(body: ShotRequest) -> Shadow:
    """The shadow that the request names. A transparent picture has one only if the request names it."""
    asked = body.shadow if "shadow" in body.model_fields_set or body.background != "transparent" else "none"
    if isinstance(asked, ShadowIn):
        fields = asked.model_dump(exclude={"mode", "tint"})
        return Shadow(asked.mode, **fields, tint=asked.tint.lower())
    return Shadow(asked)


def _turned(shadow: Shadow, style: Style | None) -> Shadow:
    """The shadow under a style's light: a cast one that names no direction falls away from it."""
    if style is None or style.shadow_deg is None or shadow.kind != "cast" or shadow.direction_deg is not None:
        return shadow
    return replace(shadow, direction_deg=style.shadow_deg)


def _reflection(body: ShotRequest) -> Reflection | None:
    """The reflection that the request names. Raises BadInput `invalid_request` for one without a ground."""
    if body.reflection is None:
        return None
    if body.background == "transparent":
        rule = "reflection needs a ground, got background transparent"
        raise BadInput("invalid_request", f"{rule}; leave it out, or use white, a colour or a scene")
    return Reflection(**body.reflection.model_dump())


def _relight(body: ShotRequest) -> Relight | None:
    """The relighting that the request names. Raises BadInput `relight_refused` for one without a painted scene."""
    if body.relight is None or body.relight.mode == "off":
        return None
    if body.background != "generate":
        rule = f"relight needs background generate, whose scene has a light, got {body.background}"
        remedy = "leave relight out, or paint a scene"
        raise BadInput("relight_refused", f"{rule}; {remedy}.", errors=[{"loc": ["relight"], "msg": rule}])
    return Relight(body.relight.amount)


def _retry(body: ShotRequest) -> Retry | None:
    """When pictures are painted again. Raises BadInput `invalid_request` without a painted scene."""
    if body.retry is None:
        return None
    if body.background != "generate":
        rule = f"retry paints a scene by another seed, and needs background generate, got {body.background}"
        errors: list[FieldError] = [{"loc": ["retry"], "msg": rule}]
        raise BadInput("invalid_request", f"{rule}; leave retry out, or paint a scene.", errors=errors)
    return Retry(body.retry.max, tuple(dict.fromkeys(body.retry.on)))


def proof_of(asked: ProofIn | None) -> Proof | None:
    """The proof of text that a request names; None = none. Raises BadInput as `checked_label`."""
    if asked is None or not asked.text:
        return None
    words = tuple(checked_label(word, "proof.must_read").strip() for word in asked.must_read)
    return Proof(must_read=words, master=asked.master)


def resolved(body: ShotRequest, engines: Sequence[EngineInfo], settings: Settings) -> ShotSpec:
    """Build the shot's specification with the engine's defaults filled in. A style is written out (`styled_request`).

    Raises BadInput when a prompt is invalid, the engine is unknown or lacks what a field needs, or a value is over its
    limit. One error lists all values that are over their limits.
    """
    engine = pick_engine(body.engine, engines)
    check_capabilities(body, engine)
    style, product = style_of(body.style), product_of(body)
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
        conditions=conditions_of(body, engine) if product is None else (),
        shadow=_turned(_shadow(body), style) if product is None else Shadow("none"),
        engine=engine.name,
        priority=body.priority,
        reflection=_reflection(body),
        relight=_relight(body),
        sampler=body.sampler,
        style=style,
        adapters=adapters_of(body.adapters),
        retry=_retry(body),
        proof=proof_of(body.proof),
        product=product,
    )
    errors = _broken_bounds(spec, engine.limits, settings)
    errors += broken_conditions(body.conditions, spec.conditions, engine.limits.max_control_scale)
    if errors:
        detail = "; ".join(f"{'.'.join(map(str, row['loc']))} {row['msg']}" for row in errors)
        raise BadInput("invalid_request", detail, errors=errors)
    return spec


def _given(value: Number | None, default: Number) -> Number:
    return default if value is None else value


def _broken_bounds(spec: ShotSpec, limits: SamplingLimits, settings: Settings) -> list[FieldError]:
    """One error for each value that the operator's settings or the engine's limits do not allow."""
    upper_bounds: tuple[tuple[str, float, float], ...] = (
        ("images", spec.images, settings.max_images),
        ("steps", spec.steps, limits.max_steps),
        ("guidance_scale", spec.guidance_scale, limits.max_guidance_scale),
    )
    errors: list[FieldError] = [
        {"loc": [name], "msg": f"must be at most {maximum:g}, got {value:g}"}
        for name, value, maximum in upper_bounds
        if value > maximum
    ]
    if len(spec.layers) > settings.max_layers:
        rule = f"must have at most {settings.max_layers} items, got {len(spec.layers)}"
        errors.append({"loc": ["layers"], "msg": rule})
    return errors


def check_layer(
    index: int, layer: LayerIn, bbox_xyxy: BoxXYXY, canvas: tuple[int, int], cutout_xyxy: BoxXYXY | None = None
) -> None:
    """Refuse a layer that would not be visible.

    `index` is the layer's place in the request. `bbox_xyxy` is the bounding box of the layer's mask, in pixels of the
    photo. `canvas` is (width, height) in pixels. `cutout_xyxy` is the cutout's place, to which the layer's scale
    refers; None is a mask of version 0.1.0, whose cutout is about as large as its bounding box. The reach of a rotated
    layer is its half diagonal, so no visible layer is refused.

    Raises BadInput `mask_empty` when the mask has no product pixel, `mask_too_small` when the product is smaller than
    `MIN_PRODUCT_PX`, and `layer_outside` when the layer lies outside the canvas or is smaller than a pixel.
    """
    width, height = bbox_xyxy[2] - bbox_xyxy[0], bbox_xyxy[3] - bbox_xyxy[1]
    if width <= 0 or height <= 0:
        raise BadInput(
            "mask_empty",
            f"layers.{index}: a mask must have product pixels, {layer.mask_id} has none; click on the product again.",
        )
    if max(width, height) < MIN_PRODUCT_PX:
        rule = f"must show a product of at least {MIN_PRODUCT_PX} px on its longer side, got {width} x {height} px"
        raise BadInput(
            "mask_too_small",
            f"layers.{index}: mask {layer.mask_id} {rule}; click on the whole product or take a closer photo.",
            errors=[{"loc": ["layers", index, "mask_id"], "msg": rule}],
        )
    x0, y0, x1, y1 = cutout_xyxy or bbox_xyxy
    width, height = x1 - x0, y1 - y0
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
        overlaps_x = -reach_x < centre_x < canvas[0] + reach_x
        overlaps_y = -reach_y < centre_y < canvas[1] + reach_y
        if not (overlaps_x and overlaps_y):
            rule = f"lies outside the canvas; move x, y (got {layer.x:g}, {layer.y:g}) towards 0..1"
    if rule:
        raise BadInput("layer_outside", f"layers.{index} {rule}.", errors=[{"loc": ["layers", index], "msg": rule}])


def check_layers_together(
    layers: Sequence[LayerIn], cutout_boxes: Mapping[str, BoxXYXY], canvas: tuple[int, int], max_photo_px: int
) -> None:
    """Refuse layers that are too much work together: by what they show, and by what is read and cut for them.

    `cutout_boxes` holds the box of each mask's cutout, in pixels of its photo; a mask counts once, however many layers
    show it. `max_photo_px` is the most pixels of one photo. Raises BadInput `layers_too_large`.
    """
    read_px = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in cutout_boxes.values())
    shown_px = 0.0
    for layer in layers:
        if (box := cutout_boxes.get(layer.mask_id)) is not None:
            width, height = box[2] - box[0], box[3] - box[1]
            factor = layer.scale * max(canvas) / max(width, height)
            placed = (width * factor, height * factor)
            if layer.rotation_deg % 180:
                placed = (math.hypot(*placed),) * 2
            shown_px += min(placed[0], canvas[0]) * min(placed[1], canvas[1])
    for what, pixels, limit, remedy in (
        ("cover", shown_px, MAX_SHOWN_PX, "use fewer or smaller layers, or a smaller canvas"),
        ("be cut out of", read_px, CUTOUTS_OF_PHOTOS * max_photo_px, "use fewer masks, or smaller photos"),
    ):
        if pixels > limit:
            rule = f"may together {what} {limit:,} pixels, got {pixels:,.0f}; {remedy}"
            raise BadInput("layers_too_large", f"layers {rule}.", errors=[{"loc": ["layers"], "msg": rule}])
