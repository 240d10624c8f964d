"""`/v1/photos`: photo uploads. photo_masks.py holds the masks of photos."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import UploadFile

from packshot.api.answers import file_answer, server_timing
from packshot.api.auth import Caller
from packshot.api.conversions import photo_answer
from packshot.api.downloads import REDIRECT, Redirect, redirected
from packshot.api.forms import upload_form
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import (
    BODY_PROBLEMS,
    LOCATION,
    TIMING,
    answer_json,
    empty_json,
    file_json,
    headers_json,
    keyed_problems_json,
    problems_json,
    upload_json,
)
from packshot.api.queries import PAGE, Cursor, Limit
from packshot.api.services import Services, Wired, decode_slot, in_thread
from packshot.api.uploads import add_photo, photo_of_upload
from packshot.contract import examples
from packshot.contract.answers import PhotoAnswer, PhotoPage
from packshot.contract.requests import PhotoUpload
from packshot.errors import (
    Conflict,
    NotFound,
    StorageFull,
)
from packshot.imaging.decoding.formats import claim_of
from packshot.imaging.decoding.results import NormalisedPhoto

router = APIRouter(prefix="/v1/photos", tags=["photos"], responses=keyed_problems_json())


@router.post(
    "",
    status_code=201,
    operation_id="upload_photo",
    summary="Upload a photo",
    responses=answer_json(examples.PHOTO, "The photo.", status=201, headers=LOCATION | TIMING)
    | problems_json(*BODY_PROBLEMS, NotFound, StorageFull),
    # The header is for openapi-python-client 0.29, which imports what two kinds of body need only with an option.
    openapi_extra=upload_json(PhotoUpload, examples.PHOTO_OF_UPLOAD)
    | headers_json(x_request_id="An id of your own for this request, 8 to 64 of A-Z a-z 0-9 . _ -; answers repeat it."),
)
async def upload_photo(request: Request, response: Response, services: Wired, tenant: Caller) -> PhotoAnswer:
    """The multipart part `file` holds a JPEG, PNG, WebP, AVIF, HEIC, TIFF or still GIF. `notes` say what was assumed.

    Repeated uploads of the same bytes have the same id. A part `project_id` puts the photo into that project; without
    it, the photo stays in the project that it has. Instead, a JSON body names a file that was sent to the URL of
    POST /v1/uploads; 422 `upload_mismatch` when it is missing or is another one.
    """
    if request.headers.get("content-type", "").lower().startswith("application/json"):
        return await photo_of_upload(request, response, services, tenant)
    async with upload_form(request, "project_id") as (file, fields):
        started = time.perf_counter()
        photo = await cancel_on_disconnect(request, _decoded(services, tenant.id, file))
        decode_ms = (time.perf_counter() - started) * 1000
    record = await shield_to_completion(
        in_thread(add_photo, services.store, tenant.id, photo, photo.png, fields.get("project_id"))
    )
    answer = photo_answer(record)
    response.headers.update({"location": answer.url, **server_timing({"decode": decode_ms})})
    return answer


@router.get(
    "",
    operation_id="list_photos",
    summary="List photos, newest first",
    responses=answer_json(examples.PHOTOS, "A page of photos."),
)
async def list_photos(
    services: Wired,
    tenant: Caller,
    sha256: Annotated[
        str, Query(max_length=64, description="Only the photo whose upload had this SHA-256, hexadecimal.")
    ] = "",
    project_id: Annotated[str, Query(description="Only photos of this project.")] = "",
    limit: Limit = PAGE,
    cursor: Cursor = "",
) -> PhotoPage:
    """`next_cursor` is null on the last page. With `sha256`, a client finds what it has uploaded before."""
    photos, next_cursor = await in_thread(
        services.store.photos.page,
        tenant.id,
        sha256=sha256 or None,
        project_id=project_id or None,
        cursor=cursor or None,
        limit=limit,
    )
    return PhotoPage(photos=tuple(photo_answer(photo) for photo in photos), next_cursor=next_cursor)


async def _decoded(services: Services, tenant_id: str, file: UploadFile) -> NormalisedPhoto:
    """Decode the upload when a slot is free. Waiting uploads stay on disk and occupy no thread of the other routes."""
    async with decode_slot(services, tenant_id, file.size or 0):
        claim = claim_of(file.content_type, file.filename)
        return await services.decoder.normalise(await file.read(), claim)


@router.get(
    "/{photo_id}.json",
    operation_id="describe_photo",
    summary="Get what is known about a photo",
    responses=answer_json(examples.PHOTO, "The photo.") | problems_json(NotFound),
)
async def describe_photo(photo_id: str, services: Wired, tenant: Caller) -> PhotoAnswer:
    """The answer of its last upload, notes included."""
    return photo_answer(await in_thread(services.store.photos.get, tenant.id, photo_id))


@router.get(
    "/{photo_id}",
    operation_id="get_photo",
    summary="Get the normalised photo",
    response_class=Response,
    responses=file_json("The photo.", "image/png") | REDIRECT | problems_json(NotFound),
)
async def get_photo(
    photo_id: str, request: Request, services: Wired, tenant: Caller, redirect: Redirect = None
) -> Response:
    """Returns a PNG: upright, sRGB, without metadata."""
    photo = await in_thread(services.store.photos.get, tenant.id, photo_id)
    if (elsewhere := await redirected(services, redirect, photo.asset_key, "image/png")) is not None:
        return elsewhere
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
