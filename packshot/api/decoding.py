"""Decoders of uploads: this process's worker processes, or another deployment with the same protocol."""

from __future__ import annotations

from typing import Protocol

import anyio.to_thread

from packshot.imaging.decoding.photo_decoder import PhotoDecoder
from packshot.imaging.decoding.results import NormalisedPhoto, UploadedMask
from packshot.settings import Settings


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

    async def read_mask(self, data: bytes, width: int, height: int) -> UploadedMask:
        """Read a mask for a photo of `width` x `height` pixels from untrusted bytes. Soft values are kept.

        Raises BadInput `mask_…` when it cannot be read or used, UnsupportedMedia when it is not a PNG, and Unavailable
        when no decoder answers.
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


class LocalDecoder:
    """A `PhotoDecoder` of this process, called in a thread so that it does not block the event loop."""

    def __init__(self, settings: Settings) -> None:
        self._decoder = photo_decoder(settings)
        self.at_once = settings.decode_workers

    async def read_mask(self, data: bytes, width: int, height: int) -> UploadedMask:
        return await anyio.to_thread.run_sync(self._decoder.read_mask, data, width, height)

    async def normalise(self, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        return await anyio.to_thread.run_sync(self._decoder.normalise, data, claimed_type)

    def close(self) -> None:
        """End the worker processes."""
        self._decoder.close()
