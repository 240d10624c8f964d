"""`/v1/styles`: scenes that a tenant uses again, each with a name and a thumbnail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from packshot.api.accept import checked_name, checked_prompt, checked_word, json_body
from packshot.api.answers import file_answer
from packshot.api.auth import Caller
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    answer_json,
    body_json,
    empty_json,
    file_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Services, Wired, in_thread
from packshot.api.styling import references_of, require_pictures
from packshot.contract import examples
from packshot.contract.adapters import AdapterUse, AdapterUseAnswer
from packshot.contract.projects import StyleAnswer, StyleChange, StylePage, StyleRequest
from packshot.contract.shot_style import LightAnswer, ReferenceAnswer
from packshot.errors import BadInput, Conflict, FieldError, NotFound, StorageFull
from packshot.shots.pictures import PictureFile
from packshot.store.records import StyleRecord
from packshot.store.styles import StyleFields

router = APIRouter(prefix="/v1/styles", tags=["styles"], responses=keyed_problems_json())


def style_answer(style: StyleRecord) -> StyleAnswer:
    """A style. The key of its thumbnail stays internal; it makes the thumbnail's URL change with the thumbnail."""
    url = f"/v1/styles/{style.id}"
    version = (style.thumbnail_key or "").rpartition("/")[2][:12]
    return StyleAnswer(
        id=style.id,
        name=style.name,
        prompt=style.prompt,
        negative_prompt=style.negative_prompt,
        shadow=style.shadow,
        forbidden_words=style.forbidden_words,
        palette=style.palette,
        references=tuple(ReferenceAnswer.model_validate(one.to_json()) for one in style.references),
        light=None if style.light_deg is None else LightAnswer(direction_deg=style.light_deg),
        adapters=tuple(AdapterUseAnswer(id=one.id, scale=one.scale) for one in style.adapters) or None,
        url=url,
        thumbnail_url=f"{url}/thumbnail?v={version}" if version else None,
        created_at=style.created_at,
    )


@router.post(
    "",
    status_code=201,
    operation_id="create_style",
    summary="Create a style",
    responses=answer_json(examples.STYLE, "The style.", status=201, headers=LOCATION)
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict, StorageFull),
    openapi_extra=body_json(examples.STYLE_REQUEST),
)
async def create_style(request: Request, response: Response, services: Wired, tenant: Caller) -> StyleAnswer:
    """404 when `image_id` or a reference names no picture of the tenant; 409 `name_taken` when it has such a style."""
    body = await json_body(request, StyleRequest)
    fields = _checked(body, services)
    files = await require_pictures(services, tenant.id, body.references)
    thumbnail = await cancel_on_disconnect(request, _thumbnail(services, tenant.id, body.image_id, files))
    style = await shield_to_completion(in_thread(services.store.styles.add, tenant.id, **fields, thumbnail=thumbnail))
    answer = style_answer(style)
    response.headers["location"] = answer.url
    return answer


def _checked(body: StyleRequest | StyleChange, services: Services) -> StyleFields:
    """The fields that the request sets, checked. Raises BadInput."""
    longest = services.settings.max_prompt_chars
    fields = StyleFields()
    for name in body.model_fields_set - {"shadow", "light", "image_id"}:
        if getattr(body, name) is None:
            error: FieldError = {"loc": [name], "msg": "must have a value, got null"}
            raise BadInput("invalid_request", f"{name} must have a value, got null; leave it out.", errors=[error])
    if body.name is not None:
        fields["name"] = checked_name(body.name)
    if body.prompt is not None:
        fields["prompt"] = checked_prompt(body.prompt, "prompt", longest)
    if body.negative_prompt is not None:
        fields["negative_prompt"] = checked_prompt(body.negative_prompt, "negative_prompt", longest)
    if "shadow" in body.model_fields_set:
        fields["shadow"] = body.shadow
    if body.forbidden_words is not None:
        fields["forbidden_words"] = [checked_word(word) for word in body.forbidden_words]
    if body.palette is not None:
        fields["palette"] = [colour.lower() for colour in body.palette]
    if body.references is not None:
        fields["references"] = references_of(body.references)
    if body.adapters is not None:
        fields["adapters"] = [AdapterUse(id=one.id, scale=one.scale) for one in body.adapters]
    if "light" in body.model_fields_set:
        fields["light_deg"] = None if body.light is None else body.light.direction_deg % 360
    return fields


async def _thumbnail(
    services: Services, tenant_id: str, image_id: str | None, files: Sequence[PictureFile] = ()
) -> bytes | None:
    """The thumbnail of a tenant's picture, else of its first reference; None without either. Raises NotFound."""
    if image_id is None:
        return await services.graph.thumbnail(files[0].asset_key) if files else None
    image = await in_thread(services.store.images.get, tenant_id, image_id)
    return await services.graph.thumbnail(image.asset_key)


@router.get(
    "",
    operation_id="list_styles",
    summary="List the styles, newest first",
    responses=answer_json(examples.STYLES, "A page of styles.") | problems_json(BadInput),
)
async def list_styles(
    services: Wired,
    tenant: Caller,
    limit: Limit = PAGE,
    cursor: Cursor = "",
) -> StylePage:
    """`next_cursor` is null on the last page."""
    styles, next_cursor = await in_thread(services.store.styles.page, tenant.id, cursor=cursor or None, limit=limit)
    return StylePage(styles=tuple(style_answer(style) for style in styles), next_cursor=next_cursor)


@router.get(
    "/{style_id}",
    operation_id="get_style",
    summary="Get a style",
    responses=answer_json(examples.STYLE, "The style.") | problems_json(NotFound),
)
async def get_style(style_id: str, services: Wired, tenant: Caller) -> StyleAnswer:
    """A shot with `style.style_id` takes its references, palette and light, and the words that it leaves out itself."""
    return style_answer(await in_thread(services.store.styles.get, tenant.id, style_id))


@router.get(
    "/{style_id}/thumbnail",
    operation_id="get_style_thumbnail",
    summary="Get a style's thumbnail",
    response_class=Response,
    responses=file_json("The thumbnail.", "image/png") | problems_json(NotFound),
)
async def get_style_thumbnail(
    style_id: str,
    request: Request,
    services: Wired,
    tenant: Caller,
    v: Annotated[str, Query(description="Names the thumbnail's version, for caches; it selects nothing.")] = "",
) -> Response:
    """Returns a PNG of at most 384 px. 404 when the style has none."""
    style = await in_thread(services.store.styles.get, tenant.id, style_id)
    if style.thumbnail_key is None:
        raise NotFound("not_found", f"Style {style.id} has no thumbnail; set `image_id` to a finished picture.")
    data = await in_thread(services.store.assets.get, style.thumbnail_key)
    return file_answer(request, data, "image/png", kept=bool(v))


@router.patch(
    "/{style_id}",
    operation_id="change_style",
    summary="Change a style",
    responses=answer_json(examples.STYLE, "The style.")
    | problems_json(*BODY_PROBLEMS, NotFound, Conflict, StorageFull),
    openapi_extra=body_json(examples.STYLE_CHANGE),
)
async def change_style(style_id: str, request: Request, services: Wired, tenant: Caller) -> StyleAnswer:
    """A missing field keeps its value. Shots that were made with the style stay as they are."""
    body = await json_body(request, StyleChange)
    fields = _checked(body, services)
    await require_pictures(services, tenant.id, body.references or ())
    thumbnail = await cancel_on_disconnect(request, _thumbnail(services, tenant.id, body.image_id))
    call = in_thread(services.store.styles.change, tenant.id, style_id, fields, thumbnail=thumbnail)
    return style_answer(await shield_to_completion(call))


@router.delete(
    "/{style_id}",
    status_code=204,
    operation_id="delete_style",
    summary="Delete a style",
    responses=empty_json("The style was deleted.") | problems_json(NotFound),
)
async def delete_style(style_id: str, services: Wired, tenant: Caller) -> None:
    """Shots that were made with it stay."""
    await shield_to_completion(in_thread(services.store.styles.delete, tenant.id, style_id))
