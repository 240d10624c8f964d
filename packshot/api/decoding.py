"""Who decodes uploads: worker processes of this process, or another deployment behind the same protocol."""

from __future__ import annotations

from typing import Protocol

import anyio.to_thread

from packshot.imaging.codec import NormalisedPhoto, PhotoDecoder
from packshot.settings import Settings


class Decoder(Protocol):
    """Untrusted bytes in, a rebuilt photo out."""

    @property
    def at_once(self) -> int:
        """How many uploads may be handed to it at a time; the others wait on disk."""
        ...

    async def normalise(self, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        """The upload, rebuilt from its pixels. Raises BadInput (photo_…), UnsupportedMedia, Unavailable."""
        ...


def photo_decoder(settings: Settings) -> PhotoDecoder:
    """The bounded decoder with the settings' limits."""
    return PhotoDecoder(
        max_photo_px=settings.max_photo_px,
        max_photo_side_px=settings.max_photo_side_px,
        timeout_s=settings.decode_timeout_s,
        workers=settings.decode_workers,
    )


class LocalDecoder:
    """A `PhotoDecoder` of this process, off the event loop."""

    def __init__(self, settings: Settings) -> None:
        self._decoder = photo_decoder(settings)
        self.at_once = settings.decode_workers

    async def normalise(self, data: bytes, claimed_type: str | None) -> NormalisedPhoto:
        return await anyio.to_thread.run_sync(self._decoder.normalise, data, claimed_type)

    def close(self) -> None:
        """End the worker processes."""
        self._decoder.close()
