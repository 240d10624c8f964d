"""Decoders of uploads: this process's worker processes, or another deployment with the same protocol."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol

import anyio.to_thread

from packshot.delivery.provenance import C2paFound
from packshot.errors import BadInput, NotFound
from packshot.imaging.decoding.formats import claim_of
from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from packshot.imaging.decoding.results import NormalisedPhoto, UploadedMask
from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.store.records import UploadRecord
from packshot.store.references import WrittenFile


@dataclass(frozen=True)
class StoredPhoto:
    """A decoded upload whose PNG is a file in the asset root. `photo.png` is empty."""

    photo: NormalisedPhoto
    file: WrittenFile


class Decoder(Protocol):
    """Rebuilds a photo from untrusted bytes."""

    @property
    def at_once(self) -> int:
        """How many uploads it accepts at a time. The API keeps further uploads on disk."""
        ...

    async def normalise(self, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        """Rebuild an upload from its pixels.

        `claimed_type` is the media type that the client declared. Raises BadInput `photo_…` when the bytes are not a
        photo that Packshot accepts, UnsupportedMedia for another format, and Unavailable when no decoder answers.
        """
        ...

    async def normalise_upload(self, upload: UploadRecord) -> StoredPhoto:
        """Rebuild a photo from a file in the asset root, and write it there.

        Raises BadInput `upload_mismatch` when the file is missing, or has another size or hash than announced. Raises
        as `normalise` does too, and StorageFull.
        """
        ...

    async def read_mask(self, data: bytes, width: int, height: int) -> UploadedMask:
        """Read a mask for a photo of `width` x `height` pixels from untrusted bytes. Soft values are kept.

        Raises BadInput `mask_…` when it cannot be read or used, UnsupportedMedia when it is not a PNG, and Unavailable
        when no decoder answers.
        """
        ...

    async def read_manifest(self, data: bytes, anchors: str) -> C2paFound:
        """Read the C2PA manifest of untrusted bytes. `anchors` are trusted certificates as PEM.

        One that cannot be read is present and not valid. Raises Unavailable when no decoder answers.
        """
        ...


def photo_decoder(settings: Settings) -> PhotoDecoder:
    """A decoder in worker processes, with the settings' limits."""
    return PhotoDecoder(
        max_photo_px=settings.max_photo_px,
        max_photo_side_px=settings.max_photo_side_px,
        timeout_s=settings.decode_timeout_s,
        workers=settings.decode_workers,
    )


def decode_upload(decoder: PhotoDecoder, assets: Assets, upload: UploadRecord) -> StoredPhoto:
    """What `Decoder.normalise_upload` does, in the process that has the worker processes."""
    rule = f"the file of {upload.id} must have {upload.bytes} bytes with the SHA-256 {upload.sha256}, as announced"
    try:
        size = assets.size(upload.key)
        data = assets.get(upload.key) if size == upload.bytes else b""
    except NotFound:
        raise BadInput("upload_mismatch", f"{rule}, but there is none; send it to the upload's URL") from None
    if size != upload.bytes:
        raise BadInput("upload_mismatch", f"{rule}, got {size} bytes; send it to the upload's URL again")
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != upload.sha256:
        raise BadInput("upload_mismatch", f"{rule}, got {sha256}; send it to the upload's URL again")
    photo = decoder.normalise(data, claim_of(upload.content_type, None))
    return StoredPhoto(replace(photo, png=b""), WrittenFile(assets.put(photo.png, ".png"), len(photo.png)))


class LocalDecoder:
    """A `PhotoDecoder` of this process, called in a thread so that it does not block the event loop."""

    def __init__(self, settings: Settings) -> None:
        self._decoder = photo_decoder(settings)
        self._assets = Assets(settings.asset_root, settings.max_asset_bytes)
        self.at_once = settings.decode_workers

    async def read_mask(self, data: bytes, width: int, height: int) -> UploadedMask:
        return await anyio.to_thread.run_sync(self._decoder.read_mask, data, width, height)

    async def read_manifest(self, data: bytes, anchors: str) -> C2paFound:
        return await anyio.to_thread.run_sync(self._decoder.read_manifest, data, anchors)

    async def normalise(self, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        return await anyio.to_thread.run_sync(self._decoder.normalise, data, claimed_type)

    async def normalise_upload(self, upload: UploadRecord) -> StoredPhoto:
        return await anyio.to_thread.run_sync(decode_upload, self._decoder, self._assets, upload)

    def close(self) -> None:
        """End the worker processes."""
        self._decoder.close()
