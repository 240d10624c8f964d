"""`/v1/catalogues/{id}/photos`: the photos and masks that a catalogue's rows name by a path."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, cast

from fastapi import APIRouter, Query, Request

from packshot.api.auth import Caller
from packshot.api.limits import SPOOLED_BYTES, cancel_on_disconnect, shield_to_completion, spooled_body
from packshot.api.openapi import (
    BODY_PROBLEMS,
    answer_json,
    file_body_json,
    keyed_problems_json,
    problems_json,
)
from packshot.api.services import Services, Wired, decode_slot, in_thread
from packshot.api.uploads import add_photo
from packshot.catalogue.archive import PhotoArchive
from packshot.contract import catalogue_examples as examples
from packshot.contract.catalogue_answers import PhotosZipAnswer, PutPhotoAnswer, RefusedPhoto
from packshot.errors import BadInput, NotFound, StorageFull, UnsupportedMedia
from packshot.imaging.decoding.formats import claim_of
from packshot.store.catalogue_records import PhotoKind

router = APIRouter(prefix="/v1/catalogues", tags=["catalogues"], responses=keyed_problems_json())

MAX_LISTED = 1_000
"""Most unused entries of one answer."""

UnreadablePhoto = (BadInput, UnsupportedMedia)
"""What a corrupt file raises. It concerns its own rows alone."""


@router.put(
    "/{catalogue_id}/photos",
    operation_id="put_catalogue_photo",
    summary="Send a photo or a mask of a catalogue",
    responses=answer_json(examples.PUT_PHOTO, "It is there.") | problems_json(*BODY_PROBLEMS, NotFound, StorageFull),
    openapi_extra=file_body_json("application/octet-stream", required=False),
)
async def put_catalogue_photo(
    catalogue_id: str,
    request: Request,
    services: Wired,
    tenant: Caller,
    path: Annotated[str, Query(min_length=1, max_length=1000, description="The path that the rows name.")],
    sha256: Annotated[
        str,
        Query(
            pattern="^([0-9a-f]{64})?$",
            description="Instead of a body: the SHA-256 of a photo that was uploaded before; 404 when there is none.",
        ),
    ] = "",
) -> PutPhotoAnswer:
    """The body is the file. A repeat is a no-op, so an upload that broke off is sent again from its start.

    A file that is no readable photo answers 422 with its code, and the rows that name it will fail with that code; the
    catalogue can start without it. Sending a sound file later mends it.
    """
    store = services.store.catalogue_photos
    kinds = await in_thread(store.kinds, tenant.id, catalogue_id, path)
    if sha256:
        photos, _ = await in_thread(services.store.photos.page, tenant.id, sha256=sha256, limit=1)
        if not photos or kinds != {"photo"}:
            raise NotFound("not_found", f"No photo with the SHA-256 {sha256} was uploaded; send the file as the body.")
        stored = await in_thread(store.put, tenant.id, catalogue_id, path, photos[0].id)
        return PutPhotoAnswer(path=path, stored=stored, photo_id=photos[0].id)
    async with spooled_body(request) as file:
        return await cancel_on_disconnect(request, _put(services, tenant.id, catalogue_id, path, kinds, file.file))


async def _put(
    services: Services,
    tenant_id: str,
    catalogue_id: str,
    path: str,
    kinds: frozenset[PhotoKind],
    file: IO[bytes],
) -> PutPhotoAnswer:
    """Store the file of a path. Raises an UnreadablePhoto after the path's rows were marked as failed."""
    store = services.store.catalogue_photos
    stored, photo_id = False, None
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        async with decode_slot(services, tenant_id, size):
            data = await in_thread(file.read)
            if "photo" in kinds:
                photo = await services.decoder.normalise(data, claim_of(None, PurePosixPath(path).name))
                call = in_thread(add_photo, services.store, tenant_id, photo, photo.png, None)
                photo_id = (await shield_to_completion(call)).id
                link = in_thread(store.put, tenant_id, catalogue_id, path, photo_id)
                stored = await shield_to_completion(link)
            if "mask" in kinds:
                if not data.startswith(b"\x89PNG\r\n\x1a\n"):
                    raise UnsupportedMedia("mask_format", f"A mask must be a PNG, got another file for {path!r}.")
                keep = in_thread(store.put_mask_file, tenant_id, catalogue_id, path, data)
                stored = await shield_to_completion(keep) or stored
    except UnreadablePhoto as error:
        marked = in_thread(store.failed, tenant_id, catalogue_id, path, error.code, error.detail)
        await shield_to_completion(marked)
        raise
    return PutPhotoAnswer(path=path, stored=stored, photo_id=photo_id)


@router.post(
    "/{catalogue_id}/photos.zip",
    operation_id="put_catalogue_photos",
    summary="Send many photos of a catalogue as a ZIP archive",
    responses=answer_json(examples.PHOTOS_ZIP, "What was taken.")
    | problems_json(*BODY_PROBLEMS, NotFound, StorageFull),
    openapi_extra=file_body_json("application/zip"),
)
async def put_catalogue_photos(catalogue_id: str, request: Request, services: Wired, tenant: Caller) -> PhotosZipAnswer:
    """Entries are matched by their path with the photos that are missing; everything else in the archive is left alone.

    A single folder around all of them is ignored. A repeat goes on where the first one ended.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data":
        raise UnsupportedMedia("body_type", "The body must be the archive itself, got a form; send --data-binary.")
    store = services.store.catalogue_photos
    missing = {one.path for one in await in_thread(store.missing, tenant.id, catalogue_id)}
    limits = services.settings
    with services.archives.slot(tenant.id), _spool() as spool:
        async for chunk in request.stream():
            await in_thread(spool.write, chunk)
        archive = await in_thread(
            PhotoArchive.opened,
            spool,
            missing,
            max_entry_bytes=limits.max_photo_bytes,
            max_total_bytes=2 * limits.max_zip_bytes,
        )
        taken = _take(services, tenant.id, catalogue_id, archive)
        stored, refused = await cancel_on_disconnect(request, taken)
    left = await in_thread(store.missing, tenant.id, catalogue_id)
    return PhotosZipAnswer(
        stored=stored,
        refused=tuple(refused),
        unused=archive.unused[:MAX_LISTED],
        missing_photos_total=len(left),
    )


@contextmanager
def _spool() -> Iterator[IO[bytes]]:
    with SpooledTemporaryFile(max_size=SPOOLED_BYTES) as file:
        yield cast(IO[bytes], file)


async def _take(
    services: Services, tenant_id: str, catalogue_id: str, archive: PhotoArchive
) -> tuple[int, list[RefusedPhoto]]:
    """Store the archive's photos, as many at once as the decoder takes. Returns their number and the refused ones."""
    store = services.store.catalogue_photos
    waiting = iter(sorted(archive.entries))
    reading = asyncio.Lock()  # an archive is one file, read by one at a time
    refused: list[RefusedPhoto] = []
    stored = 0

    async def work() -> None:
        nonlocal stored
        for path in waiting:
            try:
                kinds = await in_thread(store.kinds, tenant_id, catalogue_id, path)
                async with reading:
                    data = await in_thread(archive.read, path)
                with _spool() as file:
                    file.write(data)
                    answer = await _put(services, tenant_id, catalogue_id, path, kinds, file)
                stored += answer.stored
            except UnreadablePhoto as error:
                await in_thread(store.failed, tenant_id, catalogue_id, path, error.code, error.detail)
                refused.append(RefusedPhoto(path=path, code=error.code, detail=error.detail))

    workers = [asyncio.ensure_future(work()) for _ in range(max(1, services.decoder.at_once))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return stored, sorted(refused, key=lambda one: one.path)
