"""Poll the store once for all event streams and delayed responses of this process."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from anyio import to_thread

from packshot.api.graph import Graph
from packshot.store.records import ShotRecord
from packshot.store.shots import Shots

POLL_EVERY_S = 0.25
"""Seconds between polls.

A shot that was submitted by this process is polled as soon as it ends. PostgreSQL tells of the end of any other shot;
on SQLite it is found after half a period on average.
"""

AT_MOST_EVERY_S = 0.05
"""Shortest time between two polls that notifications start, in seconds."""

Listen = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]


class Watch:
    """Polls the store while anything waits, with one query for all waiters. Use it from one event loop.

    `shots` is polled. `graph` wakes the poll when a shot of this process ends. `listen` calls its argument when a shot
    changes, for as long as it runs; None = nothing tells.
    """

    def __init__(
        self,
        shots: Shots,
        graph: Graph,
        listen: Callable[[Callable[[], None]], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._shots = shots
        self._graph = graph
        self._listen = listen
        self._listening: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._waiters: list[tuple[str, Collection[str], asyncio.Future[list[ShotRecord]]]] = []
        self._polling: asyncio.Task[None] | None = None

    async def next(self, tenant_id: str, shot_ids: Collection[str]) -> list[ShotRecord]:
        """Return the shots as the next poll finds them, in the order of `shot_ids`.

        Missing shots and shots of other tenants are left out. An exception of the store is raised to every waiter of
        that poll.
        """
        result: asyncio.Future[list[ShotRecord]] = asyncio.get_running_loop().create_future()
        self._waiters.append((tenant_id, shot_ids, result))
        if self._listen is not None and self._listening is None:  # here, because it needs the event loop
            self._listening = asyncio.create_task(self._listen(self._changed.set), context=contextvars.Context())
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        return await result

    async def _wait_for_a_change(self) -> None:
        """Return after `POLL_EVERY_S`, or before it when a shot may have changed."""
        ended = asyncio.ensure_future(self._graph.wait_for_any_completion(POLL_EVERY_S))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({ended, changed}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await asyncio.sleep(AT_MOST_EVERY_S)
            self._changed.clear()
        finally:
            ended.cancel()
            changed.cancel()

    async def _poll(self) -> None:
        while self._waiters:
            await self._wait_for_a_change()
            waiters = [waiter for waiter in self._waiters if not waiter[2].done()]  # a cancelled waiter is left out
            self._waiters = []
            try:
                wanted = [(tenant, shot_id) for tenant, ids, _ in waiters for shot_id in ids]
                found = await to_thread.run_sync(self._shots.watch, wanted)
            except Exception as error:  # noqa: BLE001 - it is raised to every waiter of this poll
                for _, _, result in waiters:
                    if not result.done():
                        result.set_exception(error)
                continue
            for tenant, ids, result in waiters:
                if not result.done():
                    result.set_result([found[tenant, shot_id] for shot_id in ids if (tenant, shot_id) in found])
