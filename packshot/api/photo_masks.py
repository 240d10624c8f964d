"""`/v1/photos/{id}/masks`: candidates for words, clicks and boxes, brush strokes, and masks that people send."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from packshot.api.accept import json_body
from packshot.api.answers import server_timing
from packshot.api.auth import Caller
from packshot.api.conversions import exact_mask, mask_answer
from packshot.api.graph import Graph, Segmented
from packshot.api.limits import cancel_on_disconnect, shield_to_completion, spooled_body
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    TIMING,
    answer_json,
    body_json,
    keyed_problems_json,
    png_body_json,
    problems_json,
)
from packshot.api.services import Services, Wired, decode_slot, in_thread
from packshot.api.word_masks import named
from packshot.contract import examples
from packshot.contract.answers import MaskAnswer, MasksAnswer
from packshot.contract.requests import MaskRequest
from packshot.contract.status import MaskSource
from packshot.errors import (
    BadInput,
    NotFound,
    StorageFull,
    Unavailable,
)
from packshot.imaging.prompts import check_prompts
from packshot.imaging.strokes import check_strokes
from packshot.store.records import MaskRecord, PhotoRecord
from packshot.store.store import Store
from packshot.types import Prompts, Stroke, Words

router = APIRouter(prefix="/v1/photos", tags=["photos"], responses=keyed_problems_json())

MAX_CANDIDATES = 3
MAX_STROKES_BYTES = 1024 * 1024
"""Limit of the JSON body, because a brush sends many points."""


@router.post(
    "/{photo_id}/masks",
    operation_id="click",
    summary="Segment what words, points and boxes mark, or paint on a mask",
    responses=answer_json(examples.MASKS, "Candidates, best first.", headers=TIMING)
    | problems_json(*BODY_PROBLEMS, NotFound, Unavailable, StorageFull),
    openapi_extra=body_json(examples.MASK_REQUEST),
)
async def click(photo_id: str, request: Request, response: Response, services: Wired, tenant: Caller) -> MasksAnswer:
    """Returns candidate masks, best first. They expire after 24 h unless a shot uses them.

    Words give a mask for each product that they name, and 200 without masks when there is none: `found` says why.
    Strokes give one mask. The own transparency of the upload is the first candidate, if the points lie on it and the
    boxes enclose it.
    """
    body = await json_body(request, MaskRequest, max_bytes=MAX_STROKES_BYTES)
    _check_fields(body)
    photo = await in_thread(services.store.photos.get, tenant.id, photo_id)
    base = None
    if body.base_mask_id is not None:
        base = await in_thread(services.store.masks.get, tenant.id, body.base_mask_id)
        _check_base(base, photo)
    if body.text is not None:
        return await _by_words(photo, body, request, response, services)
    if body.strokes:
        strokes = tuple(Stroke(tuple(one.points), one.radius_px, one.mode == "erase") for one in body.strokes)
        await in_thread(check_strokes, strokes, photo.width, photo.height)
        own, made = None, await cancel_on_disconnect(request, _painted(services, photo, base, strokes))
    else:
        prompts = _prompts(body, photo)
        own, made = await cancel_on_disconnect(
            request, candidates(services.store, services.graph, photo, base, prompts)
        )
    masks: list[MaskRecord] = await shield_to_completion(
        in_thread(services.store.masks.add, tenant.id, photo.id, list(made.masks))
    )
    response.headers.update(server_timing(made.timing_ms))
    return MasksAnswer(masks=tuple(mask_answer(mask) for mask in ([own] if own else []) + masks))


@router.put(
    "/{photo_id}/masks",
    status_code=201,
    operation_id="put_mask",
    summary="Send a mask of the photo",
    responses=answer_json(examples.UPLOADED_MASK, "The mask.", status=201, headers=LOCATION | TIMING)
    | problems_json(*BODY_PROBLEMS, NotFound, StorageFull),
    openapi_extra=png_body_json(),
)
async def put_mask(photo_id: str, request: Request, response: Response, services: Wired, tenant: Caller) -> MaskAnswer:
    """The body is a PNG of the photo's size. Its alpha, or else its grey, is the mask; 255 = product.

    Soft values are kept as the cutout's alpha. The mask expires after 24 h unless a shot uses it.
    """
    photo = await in_thread(services.store.photos.get, tenant.id, photo_id)
    async with spooled_body(request) as file, decode_slot(services, tenant.id):
        started_at = time.perf_counter()
        reading = services.decoder.read_mask(await file.read(), photo.width, photo.height)
        read = await cancel_on_disconnect(request, reading)
        decode_ms = (time.perf_counter() - started_at) * 1000
    new = replace(exact_mask(read, read.png, photo.width, photo.height), source="upload")
    (mask,) = await shield_to_completion(in_thread(services.store.masks.add, tenant.id, photo.id, [new]))
    answer = mask_answer(mask)
    response.headers.update({"location": answer.url, **server_timing({"decode": decode_ms})})
    return answer


async def _by_words(
    photo: PhotoRecord, body: MaskRequest, request: Request, response: Response, services: Services
) -> MasksAnswer:
    """The masks of what the request's words name."""
    words = Words((body.text or "").strip(), (body.not_text or "").strip())
    prompts = _prompts(body, photo)
    found = await cancel_on_disconnect(request, named(services.store, services.graph, photo, words, prompts))
    masks = await shield_to_completion(found.stored(services.store, photo))
    response.headers.update(server_timing(found.timing_ms))
    return MasksAnswer(masks=tuple(map(mask_answer, masks)), found=found.answer(masks))


def _prompts(body: MaskRequest, photo: PhotoRecord) -> Prompts:
    """The request's points and boxes. Raises BadInput when they do not lie in the photo."""
    prompts = Prompts(
        points=tuple((point.x, point.y, point.label) for point in body.points),
        boxes=tuple(body.boxes),
        multimask=body.multimask,
    )
    check_prompts(prompts, photo.width, photo.height)
    return prompts


def _check_words(body: MaskRequest) -> None:
    """Raise BadInput `invalid_request` for words that say nothing, or that do not go with the other fields."""
    field, rule = "text", ""
    if body.text is None:
        field = "not_text"
        rule = "must come with text, got not_text alone; name what is looked for in text"
        if body.not_text is None:
            return
    elif not body.text.strip():
        rule = f"must have a word that names the product, got {body.text[:20]!r}; leave it out to find it automatically"
    elif body.strokes or body.base_mask_id is not None:
        rule = "must not come with strokes or base_mask_id, got both; send one request for each"
    elif body.not_text is not None:
        field = "not_text"
        if not body.not_text.strip():
            rule = f"must have a word, got {body.not_text[:20]!r}; leave it out if there is nothing to exclude"
        elif body.not_text.casefold().split() == body.text.casefold().split():
            rule = f"must differ from text, got {body.not_text[:80]!r} for both; name another thing"
    if rule:
        raise BadInput("invalid_request", f"{field} {rule}.", errors=[{"loc": [field], "msg": rule}])


def _check_fields(body: MaskRequest) -> None:
    """Raise BadInput `invalid_request` for fields that do not go together."""
    _check_words(body)
    rule = ""
    if body.text is not None:
        return
    if body.strokes and (body.points or body.boxes):
        rule = "must not come with points or boxes, got both; send one request for each"
    elif body.base_mask_id is not None and not (body.strokes or body.points or body.boxes):
        rule = "must come with base_mask_id if nothing else marks the product, got none; send strokes, points or boxes"
    if rule:
        raise BadInput("invalid_request", f"strokes {rule}.", errors=[{"loc": ["strokes"], "msg": rule}])


def _check_base(base: MaskRecord, photo: PhotoRecord) -> None:
    if base.photo_id != photo.id:
        rule = f"must be a mask of photo {photo.id}, got one of {base.photo_id}"
        raise BadInput(
            "mask_of_other_photo",
            f"base_mask_id {rule}; send a mask of this photo, or use the other photo.",
            errors=[{"loc": ["base_mask_id"], "msg": rule}],
        )


async def _painted(
    services: Services, photo: PhotoRecord, base: MaskRecord | None, strokes: tuple[Stroke, ...]
) -> Segmented:
    """The mask after the strokes. Its colours stay those of its base."""
    started_at = time.perf_counter()
    new = await services.graph.paint(photo, base.asset_key if base else None, strokes)
    made = replace(new, source="strokes", parent_id=base.id if base else None, rgba_key=base.rgba_key if base else None)
    return Segmented((made,), {"paint": (time.perf_counter() - started_at) * 1000})


async def candidates(
    store: Store, graph: Graph, photo: PhotoRecord, base: MaskRecord | None, prompts: Prompts
) -> tuple[MaskRecord | None, Segmented]:
    """The upload's own alpha, if it is what the prompts mark, and the segmenter's candidates."""

    async def own() -> MaskRecord | None:
        return None if base is not None else await own_alpha(store, graph, photo, prompts)

    alpha, found = await asyncio.gather(own(), segmented(graph, photo, base, prompts))
    room = MAX_CANDIDATES if prompts.multimask else 1
    return alpha, replace(found, masks=found.masks[: room - 1]) if alpha else found


async def own_alpha(store: Store, graph: Graph, photo: PhotoRecord, prompts: Prompts) -> MaskRecord | None:
    """The upload's own alpha, if it has one and this is what the prompts mark."""
    own = await in_thread(store.masks.own_alpha, photo.tenant, photo.id)
    return own if own is not None and await _is_marked(graph, own, prompts) else None


async def segmented(graph: Graph, photo: PhotoRecord, base: MaskRecord | None, prompts: Prompts) -> Segmented:
    """The segmenter's candidates, best first, each with its source and parent."""
    source: MaskSource = "box" if prompts.boxes else "points" if prompts.points else "automatic"
    found = await graph.segment(photo, prompts, base.asset_key if base else None)
    parent_id = base.id if base else None
    return replace(found, masks=tuple(replace(mask, source=source, parent_id=parent_id) for mask in found.masks))


async def _is_marked(graph: Graph, own: MaskRecord, prompts: Prompts) -> bool:
    """Whether every box encloses the mask's box, and the points lie on the right side of the mask's border."""
    x0, y0, x1, y1 = own.bbox_xyxy
    if not all(box[0] <= x0 and box[1] <= y0 and x1 <= box[2] and y1 <= box[3] for box in prompts.boxes):
        return False
    return not prompts.points or await graph.mask_agrees(own.asset_key, prompts.points)
