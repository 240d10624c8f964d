"""`/v1/photos`: photo uploads, and clicks on photos."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from packshot.api.accept import json_body
from packshot.api.answers import file_answer, server_timing
from packshot.api.auth import Caller
from packshot.api.conversions import mask_answer, photo_answer
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import (
    LOCATION,
    TIMING,
    answer_json,
    body_json,
    empty_json,
    file_json,
    keyed_problems_json,
    problems_json,
    upload_json,
)
from packshot.api.services import Services, Wired, in_thread
from packshot.contract import examples
from packshot.contract.answers import MasksAnswer, PhotoAnswer
from packshot.contract.requests import MaskRequest, PhotoUpload
from packshot.errors import (
    BadInput,
    Conflict,
    NotFound,
    Overloaded,
    StorageFull,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from packshot.imaging.codec import NormalisedPhoto
from packshot.imaging.prompts import check_prompts
from packshot.store.records import MaskRecord
from packshot.types import Prompts

router = APIRouter(prefix="/v1/photos", tags=["photos"], responses=keyed_problems_json())

MAX_WAITING = 64
"""How many uploads may wait for a decode worker of this replica. Further ones are refused with 429 `busy`."""


@router.post(
    "",
    status_code=201,
    operation_id="upload_photo",
    summary="Upload a photo",
    responses=answer_json(examples.PHOTO, "The photo.", status=201, headers=LOCATION | TIMING)
    | problems_json(BadInput, TooLarge, UnsupportedMedia, Overloaded, StorageFull),
    openapi_extra=upload_json(PhotoUpload),
)
async def upload_photo(request: Request, response: Response, services: Wired, tenant: Caller) -> PhotoAnswer:
    """The multipart part `file` holds a JPEG, PNG or WebP. Repeated uploads of the same bytes have the same id."""
    async with _upload(request) as file:
        started = time.perf_counter()
        photo = await cancel_on_disconnect(request, _decoded(services, file))
        decode_ms = (time.perf_counter() - started) * 1000
    record = await shield_to_completion(
        in_thread(
            services.store.photos.add,
            tenant.id,
            png=photo.png,
            width=photo.width,
            height=photo.height,
            format=photo.format,
            bytes=photo.bytes,
            sha256=photo.sha256,
        )
    )
    answer = photo_answer(record)
    response.headers.update({"location": answer.url, **server_timing({"decode": decode_ms})})
    return answer


@asynccontextmanager
async def _upload(request: Request) -> AsyncIterator[UploadFile]:
    """Parse the upload and yield its part `file`, which is on disk when it is large.

    Raises BadInput when the body is not multipart or has no such part, and TooLarge when it is over the body limit.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        got = request.headers.get("content-type", "none")
        raise BadInput("invalid_request", f"An upload must be multipart/form-data with a part `file`, got {got}.")
    async with request.form(max_files=1, max_fields=0) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadInput(
                "invalid_request",
                f"The upload must have a part `file`, got {sorted(form.keys())}.",
                errors=[{"loc": ["file"], "msg": "is missing"}],
            )
        yield file


async def _decoded(services: Services, file: UploadFile) -> NormalisedPhoto:
    """Decode the upload when a slot is free. Waiting uploads stay on disk and occupy no thread of the other routes."""
    slots = services.decode_slots
    if slots.statistics().tasks_waiting >= MAX_WAITING:
        raise Overloaded("busy", f"At most {MAX_WAITING} uploads may wait for decoding; retry later.", retry_after_s=2)
    async with slots:
        return await services.decoder.normalise(await file.read(), file.content_type)


@router.get(
    "/{photo_id}",
    operation_id="get_photo",
    summary="Get the normalised photo",
    response_class=Response,
    responses=file_json("The photo.", "image/png") | problems_json(NotFound),
)
async def get_photo(photo_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """Returns a PNG: upright, sRGB, without metadata."""
    photo = await in_thread(services.store.photos.get, tenant.id, photo_id)
    return file_answer(request, await in_thread(services.store.assets.get, photo.asset_key), "image/png")


@router.delete(
    "/{photo_id}",
    status_code=204,
    operation_id="delete_photo",
    summary="Delete a photo and its masks",
    responses=empty_json("The photo was deleted.") | problems_json(NotFound, Conflict),
)
async def delete_photo(photo_id: str, services: Wired, tenant: Caller) -> None:
    """409 `in_use` while a live shot uses the photo."""
    await shield_to_completion(in_thread(services.store.photos.delete, tenant.id, photo_id))


@router.post(
    "/{photo_id}/masks",
    operation_id="click",
    summary="Segment what points and boxes mark",
    responses=answer_json(examples.MASKS, "Candidates, best first.", headers=TIMING)
    | problems_json(BadInput, NotFound, TooLarge, Overloaded, Unavailable, StorageFull),
    openapi_extra=body_json(examples.MASK_REQUEST),
)
async def click(photo_id: str, request: Request, response: Response, services: Wired, tenant: Caller) -> MasksAnswer:
    """Returns candidate masks, best first. They expire after 24 h unless a shot uses them."""
    body = await json_body(request, MaskRequest)
    photo = await in_thread(services.store.photos.get, tenant.id, photo_id)
    prompts = Prompts(
        points=tuple((point.x, point.y, point.label) for point in body.points),
        boxes=tuple(body.boxes),
        multimask=body.multimask,
    )
    check_prompts(prompts, photo.width, photo.height)
    segmented = await cancel_on_disconnect(request, services.graph.segment(photo, prompts))
    masks: list[MaskRecord] = await shield_to_completion(
        in_thread(services.store.masks.add, tenant.id, photo.id, list(segmented.masks))
    )
    response.headers.update(server_timing(segmented.timing_ms))
    return MasksAnswer(masks=tuple(mask_answer(mask) for mask in masks))
