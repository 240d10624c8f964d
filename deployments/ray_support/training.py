"""The directors' side of trainings: a call of the trainer for each training that waits or runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.ray_support.calls import to_packshot_error
from packshot.store.store import Store

log = logging.getLogger("ray.serve")


class TrainerCalls:
    """Keeps as many calls of the trainer under way as trainings of `engines` are live, one for each tenant.

    A call wakes a trainer that sleeps, and keeps it while it trains. Only one director of a cluster has this. A call
    that died, with its trainer, is made again at the next look.
    """

    def __init__(self, store: Store, trainer: DeploymentHandle[Any], engines: Sequence[str]) -> None:
        self._store, self._trainer, self._engines = store, trainer, tuple(engines)
        self._calls: set[asyncio.Task[None]] = set()

    async def look(self) -> None:
        """Make the calls that are missing. Raises Unavailable when the store does not answer."""
        live = await asyncio.to_thread(self._store.training_work.live_count, self._engines)
        for _ in range(live - len(self._calls)):
            call = asyncio.ensure_future(self._call())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self) -> None:
        try:
            await self._trainer.run_next.remote()
        except Exception as error:  # noqa: BLE001 - the training is in the store, and the next look calls again
            log.warning("a call of the trainer failed: %r; its training is resumed", to_packshot_error(error))

    def close(self) -> None:
        """End the calls. What a trainer runs goes on."""
        for call in self._calls:
            call.cancel()
