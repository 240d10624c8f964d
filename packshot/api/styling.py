"""The style of a shot: read its references once, when the shot is accepted, so that the stored shot is complete.

ShotStyleIn ──stored style, references──> palette, light, parts: explicit ──style_of──> Style
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TypeVar

from packshot.api.services import Services, in_thread
from packshot.contract.catalogue import Look
from packshot.contract.engines import EngineInfo
from packshot.contract.requests import ShotRequest
from packshot.contract.shot_style import LightIn, ReferenceIn, ShotStyleIn
from packshot.contract.style import STYLE_PARTS, Reference, Style, StylePart
from packshot.errors import BadInput
from packshot.shots.pictures import FoundStyle, PictureFile, find_pictures
from packshot.store.records import StyleRecord

__all__ = ["references_of", "require_pictures", "style_of", "styled_look", "styled_request"]

Body = TypeVar("Body", ShotRequest, Look)

WORDS = ("prompt", "negative_prompt", "shadow")
"""What a stored style gives a request that leaves it out."""


async def styled_request(services: Services, tenant_id: str, body: ShotRequest, engine: EngineInfo) -> ShotRequest:
    """The request with what its style gives written out: references, palette, light and parts, and a stored style's
    words. A style that changes nothing is left out.

    Raises NotFound for a style or a reference that does not exist, and BadInput: `style_refused` for a plain background
    and for a part that cannot be read, `engine_cannot` for `scene` on an engine without references, `word_forbidden`,
    and as `find_pictures`.
    """
    if body.style is not None and body.background != "generate":
        rule = f"a style needs background generate, whose scene it changes, got {body.background}"
        raise _refused("style_refused", rule, "leave style out, or paint a scene")
    return await _styled(services, tenant_id, body, engine, [body.prompt])


async def styled_look(
    services: Services, tenant_id: str, look: Look, engine: EngineInfo, prompts: Sequence[str]
) -> Look:
    """A catalogue's look with what its style gives written out, so that all rows share it. Raises as `styled_request`.

    `prompts` are those of its scenes. The look's own light comes before the references'.
    """
    if look.style is not None and look.style.light is None and look.light is not None:
        look = look.model_copy(update={"style": look.style.model_copy(update={"light": look.light})})
    return await _styled(services, tenant_id, look, engine, prompts)


async def _styled(services: Services, tenant_id: str, body: Body, engine: EngineInfo, prompts: Sequence[str]) -> Body:
    asked = body.style
    if asked is None:
        return body
    given: dict[str, object] = {}
    if asked.style_id is not None:
        stored = await in_thread(services.store.styles.get, tenant_id, asked.style_id)
        _refuse_words(prompts, stored)
        asked = _with_stored(asked, stored)
        given = {name: getattr(stored, name) for name in WORDS if name not in body.model_fields_set}
        if not engine.capabilities.negative_prompt:
            given.pop("negative_prompt", None)
        given = {name: value for name, value in given.items() if value}
        if stored.adapters and "adapters" not in body.model_fields_set:
            given["adapters"] = [{"id": one.id, "scale": one.scale} for one in stored.adapters]
    explicit = await _explicit(services, tenant_id, asked, engine)
    return type(body).model_validate({**body.model_dump(exclude_unset=True), **given, "style": explicit})


def _with_stored(asked: ShotStyleIn, stored: StyleRecord) -> ShotStyleIn:
    """The stored style's references, palette and light, where the request names none."""
    light = None if stored.light_deg is None else LightIn(direction_deg=stored.light_deg)
    return asked.model_copy(
        update={
            "style_id": None,
            "references": [ReferenceIn.model_validate(one.to_json()) for one in stored.references],
            "palette": asked.palette or list(stored.palette),
            "light": asked.light or light,
        }
    )


def _refuse_words(prompts: Iterable[str], stored: StyleRecord) -> None:
    """Raise BadInput `word_forbidden` when a prompt holds one of the style's forbidden words, as a word of its own."""
    for word in stored.forbidden_words:
        whole = re.compile(rf"(?<!\w){re.escape(_folded(word))}(?!\w)")
        if any(whole.search(_folded(prompt)) for prompt in prompts):
            rule = f"a prompt must have none of the style's forbidden words, got {word[:60]!r}"
            raise _refused("word_forbidden", rule, "use another word, or another style", "prompt")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


async def _explicit(
    services: Services, tenant_id: str, asked: ShotStyleIn, engine: EngineInfo
) -> dict[str, object] | None:
    """The style with its parts, palette and light written out; None when no part of it can be served."""
    files = await require_pictures(services, tenant_id, asked.references)
    found = FoundStyle((), None)
    wanted = asked.parts or STYLE_PARTS
    unread = ("palette" in wanted and not asked.palette) or ("light" in wanted and asked.light is None)
    if files and unread:
        found = await services.graph.read_style(files)
    palette = [colour.lower() for colour in asked.palette] or [colour.name for colour in found.palette]
    shares = asked.shares if asked.palette else [round(colour.share, 3) for colour in found.palette] or None
    light_deg = found.light_deg if asked.light is None else asked.light.direction_deg % 360
    served: dict[StylePart, bool] = {
        "palette": bool(palette),
        "light": light_deg is not None,
        "scene": 1 <= len(asked.references) <= engine.capabilities.references,
    }
    for part in asked.parts or ():
        if not served[part]:
            raise _part_refused(part, asked, engine)
    parts = [part for part in STYLE_PARTS if part in wanted and served[part]]
    if not parts:
        return None
    return {
        "references": [one.model_dump(exclude_none=True) for one in asked.references],
        "palette": palette,
        "shares": shares,
        "light": None if light_deg is None else {"direction_deg": light_deg},
        "strength": asked.strength,
        "parts": parts,
    }


def _part_refused(part: StylePart, asked: ShotStyleIn, engine: EngineInfo) -> BadInput:
    """The refusal of a part that was asked for and cannot be served."""
    if part == "scene" and asked.references:
        most = engine.capabilities.references
        rule = (
            f"the engine {engine.name} takes {most} reference pictures, got {len(asked.references)} for the part scene"
        )
        remedy = "leave the part out, or use an engine with more capabilities.references (GET /v1/engines)"
        return _refused("engine_cannot", rule, remedy, "style", "parts")
    if part == "light":
        rule = "the part light needs a light, and the style's references do not show from where theirs comes"
        return _refused("style_refused", rule, "send style.light, or leave the part out", "style", "parts")
    needs = "references or a palette" if part == "palette" else "references"
    return _refused("style_refused", f"the part {part} needs {needs}, got none", f"send {needs}", "style", "parts")


def _refused(code: str, rule: str, remedy: str, *loc: str | int) -> BadInput:
    return BadInput(code, f"{rule}; {remedy}.", errors=[{"loc": list(loc or ("style",)), "msg": rule}])


def references_of(asked: Iterable[ReferenceIn]) -> tuple[Reference, ...]:
    """The references of a request."""
    return tuple(Reference(one.picture_id, one.weight) for one in asked)


async def require_pictures(services: Services, tenant_id: str, asked: Sequence[ReferenceIn]) -> tuple[PictureFile, ...]:
    """The files of references. Raises as `find_pictures`."""
    return await in_thread(find_pictures, services.store, tenant_id, references_of(asked)) if asked else ()


def style_of(asked: ShotStyleIn | None) -> Style | None:
    """The style of a shot from one that is written out (`styled_request`). Raises ValueError for another."""
    if asked is None:
        return None
    if asked.style_id is not None or asked.parts is None:
        raise ValueError("a style must be written out before the shot is stored; call styled_request")
    return Style(
        references=references_of(asked.references),
        palette=tuple(asked.palette),
        shares=tuple(asked.shares or ()),
        light_deg=None if asked.light is None else asked.light.direction_deg,
        strength=asked.strength,
        parts=tuple(asked.parts),
    )
