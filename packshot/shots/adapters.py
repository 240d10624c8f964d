"""Adapters for an engine: read from the assets, checked, put on its device, and kept while they are used.

AdapterAsset ─> shelf ─> read, check ─> the engine's thread: device ─> SceneAdapter
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from packshot.adapters import AdapterAsset, SceneAdapter
from packshot.batching import SingleFlight
from packshot.models.adapters.file import AdapterFile, read_adapter
from packshot.store.assets import Assets

__all__ = ["AdapterShelf"]


class AdapterShelf:
    """The adapters of an engine, the most recently used ones in at most `max_bytes` of its device's memory.

    `load` is the engine's `load_adapter`, and `thread` the one that owns it. A scene holds its adapters, so one that
    leaves the shelf stays until its scenes end. Use it from one event loop.
    """

    def __init__(
        self, assets: Assets, load: Callable[[AdapterFile], Any], thread: ThreadPoolExecutor, *, max_bytes: int
    ) -> None:
        self._assets, self._load, self._thread = assets, load, thread
        self._shelf: SingleFlight[Any] = SingleFlight(max_bytes, lambda look: int(look.nbytes))

    @property
    def bytes(self) -> int:
        """The memory of the adapters on the shelf."""
        return self._shelf.bytes

    @property
    def hits(self) -> int:
        """How many adapters were on the shelf, or shared another scene's load."""
        return self._shelf.hits

    async def of(self, assets: Sequence[AdapterAsset]) -> tuple[SceneAdapter, ...]:
        """The loaded adapters, in order. Raises NotFound when a file was deleted, and BadInput `adapter_mismatch`."""
        loaded = await asyncio.gather(*(self._shelf.get(one.asset_key, partial(self._read, one)) for one in assets))
        return tuple(SceneAdapter(look, asset) for look, asset in zip(loaded, assets, strict=True))

    async def _read(self, asset: AdapterAsset) -> Any:
        file = await asyncio.to_thread(lambda: read_adapter(self._assets.get(asset.asset_key)))
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._load, file)
