"""Poll the store once for all event streams and delayed responses of this process: one `Watch` for each kind of row."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Generic, Protocol, TypeVar

from anyio import to_thread

from packshot.api.graph import Graph

POLL_EVERY_S = 0.25
"""Seconds between polls.

A shot that was submitted by this process is polled as soon as it ends. PostgreSQL notifies this process of the end of
any other shot; on SQLite it is found after half a period on average.
"""

AT_MOST_EVERY_S = 0.05
"""Shortest time between two polls that notifications start, in seconds."""

Listen = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Watched(Protocol[R_co]):
    """A part of the store whose rows are followed, such as its shots."""

    def watch(self, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], R_co]:
        """Return what exists among the `wanted` pairs of tenant id and row id."""


class Watch(Generic[R]):
    """Polls the store while anything waits, with one query for all waiters. Use it from one event loop.

    `rows` is polled. `graph` wakes the poll when a shot of this process ends. `listen` calls its argument when a row
    changes, for as long as it runs; None = no notifications.
    """

    def __init__(
        self,
        rows: Watched[R],
        graph: Graph,
        listen: Callable[[Callable[[], None]], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._rows = rows
        self._graph = graph
        self._listen = listen
        self._listening: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._waiters: list[tuple[str, Collection[str], asyncio.Future[list[R]]]] = []
        self._polling: asyncio.Task[None] | None = None

    async def next(self, tenant_id: str, ids: Collection[str]) -> list[R]:
        """Return the rows as the next poll finds them, in the order of `ids`.

        Missing rows and rows of other tenants are left out. An exception of the store is raised to every waiter of
        that poll.
        """
        result: asyncio.Future[list[R]] = asyncio.get_running_loop().create_future()
        self._waiters.append((tenant_id, ids, result))
        if self._listen is not None and self._listening is None:  # here, because it needs the event loop
            self._listening = asyncio.create_task(self._listen(self._changed.set), context=contextvars.Context())
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        return await result

    async def _wait_for_a_change(self) -> None:
        """Return after `POLL_EVERY_S`, or before it when a row may have changed."""
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
                wanted = [(tenant, row_id) for tenant, ids, _ in waiters for row_id in ids]
                found = await to_thread.run_sync(self._rows.watch, wanted)
            except Exception as error:  # noqa: BLE001 - it is raised to every waiter of this poll
                for _, _, result in waiters:
                    if not result.done():
                        result.set_exception(error)
                continue
            for tenant, ids, result in waiters:
                if not result.done():
                    result.set_result([found[tenant, row_id] for row_id in ids if (tenant, row_id) in found])
