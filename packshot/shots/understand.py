"""What is known of stored products. Each is understood once for all shots that use its mask.

CutoutFiles ─> cache ─> read, at most READ_PX ─> batch ─> Understanding
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from packshot.batching import MicroBatcher, SingleFlight
from packshot.imaging.codec import read_png
from packshot.imaging.resample import reduced
from packshot.shots.cutouts import CutoutFiles, view_cutout
from packshot.store.assets import Assets
from packshot.types import F32, U8, Cutout, Understanding

__all__ = ["Understandings"]

READ_PX = 512
"""The longer side to which larger cutouts are reduced: about what the largest estimator reads."""
CACHE_BYTES = 64 * 2**20
"""A replica's cache: some eighty products."""
READS_AT_ONCE = 2
"""Cutouts that are read at once. Each may be one of 50 megapixels."""


class Understandings:
    """Understands the cutouts of an asset root, in batches. Use it from one event loop.

    `understand` is called on `thread` with at most `max_batch_size` cutouts, which may be changed later
    (`batcher.max_batch_size`).
    """

    def __init__(
        self,
        assets: Assets,
        understand: Callable[[Sequence[Cutout]], Sequence[Understanding]],
        *,
        max_batch_size: int,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self.batcher: MicroBatcher[Cutout, Understanding] = MicroBatcher(
            understand, max_batch_size=max_batch_size, thread=thread
        )
        self._assets = assets
        self._cache: SingleFlight[Understanding] = SingleFlight(CACHE_BYTES, lambda known: known.nbytes)
        self._thread = thread
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    @property
    def hits(self) -> int:
        """How many answers came from the cache, or shared another request's computation."""
        return self._cache.hits

    async def of(self, files: Sequence[CutoutFiles]) -> tuple[Understanding, ...]:
        """What is known of each cutout, in order. Raises NotFound when a file was deleted."""
        return tuple(await asyncio.gather(*(self._cache.get(one, partial(self._find, one)) for one in files)))

    async def scene_depth(self, image_key: str, find: Callable[[U8], F32 | None]) -> F32 | None:
        """The depth of a stored picture by `find`, which is called on the thread of the batches.

        It is not kept, because a clip asks once. Raises NotFound when the picture was deleted.
        """
        async with self._reads:
            picture = await asyncio.to_thread(lambda: reduced(read_png(self._assets.get(image_key)), READ_PX))
        rgb = np.ascontiguousarray(picture[..., :3])
        return await asyncio.get_running_loop().run_in_executor(self._thread, find, rgb)

    async def _find(self, files: CutoutFiles) -> Understanding:
        async with self._reads:
            cutout = await asyncio.to_thread(lambda: Cutout(reduced(view_cutout(self._assets, files).pixels, READ_PX)))
        return await self.batcher.submit(cutout)
