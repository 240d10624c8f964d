"""`/v1/uploads`: photos that a client sends past the gateway, and the photo that is made of one."""

from __future__ import annotations

import time
from tempfile import NamedTemporaryFile

from fastapi import APIRouter, Query, Request, Response

from packshot.api.accept import json_body
from packshot.api.answers import server_timing
from packshot.api.auth import Caller
from packshot.api.conversions import own_alpha_mask, photo_answer
from packshot.api.limits import cancel_on_disconnect, shield_to_completion
from packshot.api.openapi import BODY_PROBLEMS, LOCATION, answer_json, body_json, keyed_problems_json, problems_json
from packshot.api.services import Services, Wired, decode_slot, in_thread
from packshot.contract import examples
from packshot.contract.answers import PhotoAnswer, UploadAnswer
from packshot.contract.requests import PhotoOfUpload, UploadRequest
from packshot.errors import BadInput, StorageFull, TooLarge
from packshot.imaging.decoding.results import NormalisedPhoto
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.references import WrittenFile
from packshot.store.store import Store
from packshot.store.uploads import LIFETIME_S

router = APIRouter(prefix="/v1/uploads", tags=["photos"])


@router.post(
    "",
    status_code=201,
    operation_id="offer_upload",
    summary="Ask for a URL to which a photo is sent",
    responses=answer_json(examples.UPLOAD, "Where to send the file.", status=201, headers=LOCATION)
    | keyed_problems_json()
    | problems_json(*BODY_PROBLEMS, StorageFull),
    openapi_extra=body_json(examples.UPLOAD_REQUEST),
)
async def offer_upload(request: Request, response: Response, services: Wired, tenant: Caller) -> UploadAnswer:
    """PUT the file to `url` with `headers`, and then send `{"upload_id": …}` to POST /v1/photos, within an hour.

    Where the files are in an object store that signs URLs, the file does not pass this server.
    """
    body = await json_body(request, UploadRequest)
    limit = services.settings.max_photo_bytes
    if body.bytes > limit:
        raise TooLarge("body_too_large", f"A photo may have {limit} bytes, got {body.bytes}; send a smaller file.")
    new = await shield_to_completion(
        in_thread(
            services.store.uploads.add,
            tenant.id,
            bytes=body.bytes,
            sha256=body.sha256,
            content_type=body.content_type,
        )
    )
    record = new.record
    signed = await in_thread(
        services.store.assets.upload_url,
        record.key,
        size_bytes=record.bytes,
        sha256=record.sha256,
        content_type=record.content_type,
        lifetime_s=LIFETIME_S,
    )
    own_url = f"{_origin(request)}/v1/uploads/{record.id}?token={new.token}"
    response.headers["location"] = f"/v1/uploads/{record.id}"
    response.headers["cache-control"] = "no-store"
    return UploadAnswer(
        id=record.id,
        method="PUT",
        url=own_url if signed is None else signed.url,
        headers={"content-type": record.content_type} if signed is None else signed.headers,
        expires_at=record.expires_at,
    )


@router.put("/{upload_id}", status_code=204, include_in_schema=False)
async def receive_upload(
    upload_id: str, request: Request, services: Wired, token: str = Query(max_length=64)
) -> Response:
    """The URL of an upload where the store signs none. The token in it is the permission; there is no key."""
    upload = await in_thread(services.store.uploads.of_token, upload_id, token)
    with NamedTemporaryFile() as spool:
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > upload.bytes:
                break
            await in_thread(spool.write, chunk)
        if received != upload.bytes:
            raise _mismatch(upload.id, f"{upload.bytes} bytes", f"{'more' if received > upload.bytes else received}")
        await in_thread(spool.flush)
        await shield_to_completion(in_thread(services.store.assets.put_file, upload.key, spool.name))
    return Response(status_code=204)


async def photo_of_upload(request: Request, response: Response, services: Services, tenant: Tenant) -> PhotoAnswer:
    """Make a photo of an upload. The decoder reads the file from the store and writes the photo there.

    A repeat gives the same photo. Raises NotFound for an unknown or expired upload or project, and BadInput
    `upload_mismatch` when the file is missing, or has another size or hash than announced.
    """
    body = await json_body(request, PhotoOfUpload)
    upload = await in_thread(services.store.uploads.get, tenant.id, body.upload_id)
    if upload.photo_id is not None:
        answer = photo_answer(await in_thread(services.store.photos.get, tenant.id, upload.photo_id))
        response.headers["location"] = answer.url
        return answer
    started = time.perf_counter()
    async with decode_slot(services, tenant.id, upload.bytes):
        decoded = await cancel_on_disconnect(request, services.decoder.normalise_upload(upload))
    decode_ms = (time.perf_counter() - started) * 1000

    def store() -> PhotoRecord:
        record = add_photo(services.store, tenant.id, decoded.photo, decoded.file, body.project_id)
        services.store.uploads.confirm(upload.id, record.id)
        return record

    answer = photo_answer(await shield_to_completion(in_thread(store)))
    response.headers.update({"location": answer.url, **server_timing({"decode": decode_ms})})
    return answer


def add_photo(
    store: Store, tenant_id: str, photo: NormalisedPhoto, png: bytes | WrittenFile, project_id: str | None
) -> PhotoRecord:
    """Store a decoded photo, whose pixels are `png`: its bytes, or the file that has them already. It blocks."""
    return store.photos.add(
        tenant_id,
        png=png,
        width=photo.width,
        height=photo.height,
        format=photo.format,
        bytes=photo.bytes,
        sha256=photo.sha256,
        own_alpha=own_alpha_mask(photo),
        notes=photo.notes,
        project_id=project_id,
    )


def _origin(request: Request) -> str:
    """This server's origin as the client reaches it: `Host`, and the scheme that the edge names."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0].strip()
    return f"{'https' if scheme == 'https' else 'http'}://{request.headers.get('host', request.url.netloc)}"


def _mismatch(upload_id: str, wanted: str, got: str) -> BadInput:
    return BadInput(
        "upload_mismatch", f"The file of {upload_id} must have {wanted} as announced, got {got}; send it again."
    )
