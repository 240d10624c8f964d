"""Reference pictures for an engine: read from the assets once, embedded in batches, and remembered.

PictureFile ─> cache ─> read ─> batch ─> vector ─┬─> References
                           └─ pixels, for an engine that reads them ─┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from packshot.batching import MicroBatcher, SingleFlight
from packshot.references import ReferencePicture, References
from packshot.shots.pictures import PictureFile, load_picture
from packshot.store.assets import Assets
from packshot.types import F32, U8

__all__ = ["ReferenceReader"]

READ_PX = 512
"""The longer side to which pictures are reduced before they are embedded: more than any image encoder reads."""
SHOWN_PX = 1024
"""The longer side of pictures for an engine that reads their pixels."""
CACHE_BYTES = 64 * 2**20
"""A replica's cache: thousands of vectors, or some twenty pictures."""
READS_AT_ONCE = 2
"""Pictures that are read at once. Each may be one of 50 megapixels."""


class ReferenceReader:
    """Reads the references of an asset root for one engine. Use it from one event loop.

    `encode` is called on `thread` with at most `max_batch_size` pictures, which may be changed later
    (`batcher.max_batch_size`), and returns their vectors. None = the engine reads pixels.
    """

    def __init__(
        self,
        assets: Assets,
        encode: Callable[[Sequence[U8]], Sequence[F32]] | None,
        *,
        max_batch_size: int,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self._assets = assets
        self.batcher: MicroBatcher[U8, F32] | None = None
        if encode is not None:
            self.batcher = MicroBatcher(encode, max_batch_size=max_batch_size, thread=thread)
        self._cache: SingleFlight[ReferencePicture] = SingleFlight(CACHE_BYTES, lambda read: read.nbytes)
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    @property
    def hits(self) -> int:
        """How many pictures came from the cache, or shared another request's work."""
        return self._cache.hits

    async def of(self, files: Sequence[PictureFile], strength: float) -> References:
        """The references of files, in order. Raises NotFound when one was deleted, and EngineFailed."""
        read = await asyncio.gather(*(self._cache.get(file.asset_key, partial(self._read, file)) for file in files))
        pictures = zip(read, files, strict=True)
        return References(
            tuple(ReferencePicture(file.weight, one.embedding, one.pixels) for one, file in pictures), strength
        )

    async def _read(self, file: PictureFile) -> ReferencePicture:
        longest_px = SHOWN_PX if self.batcher is None else READ_PX
        async with self._reads:
            pixels = await asyncio.to_thread(load_picture, self._assets, file.asset_key, longest_px)
        if self.batcher is None:
            return ReferencePicture(1.0, pixels=pixels)
        return ReferencePicture(1.0, embedding=await self.batcher.submit(pixels))
