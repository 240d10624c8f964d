"""A fair queue of tenants for a scarce resource: one tenant's long queue delays another's request by one turn."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from packshot.errors import Overloaded

RETRY_AFTER_S = 2.0


class FairQueue:
    """Lets `at_once` requests run, and the others wait. Use it from one event loop.

    A free slot goes to the tenant that has the fewest, and among equals to the one that had no turn for longest. Each
    tenant's own requests keep their order. At most `max_waiting` may wait, and `max_waiting_each` of one tenant.
    """

    def __init__(self, at_once: int, max_waiting: int, max_waiting_each: int) -> None:
        self._free = at_once
        self._max_waiting = max_waiting
        self._max_waiting_each = max_waiting_each
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # who had a turn goes to the end

    @asynccontextmanager
    async def slot(self, tenant_id: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for the length of the block. Raises Overloaded `busy` when too many wait."""
        if self._free:
            self._begin(tenant_id)
        else:
            await self._wait(tenant_id)
        try:
            yield
        finally:
            self._end(tenant_id)

    @property
    def requests(self) -> int:
        """How many requests run or wait."""
        return self._running.total() + sum(map(len, self._queues.values()))

    async def _wait(self, tenant_id: str) -> None:
        queue = self._queues.get(tenant_id, ())
        for limit, waiting, whose in (
            (self._max_waiting_each, len(queue), "of a tenant "),
            (self._max_waiting, sum(map(len, self._queues.values())), ""),
        ):
            if waiting >= limit:
                rule = f"At most {limit} uploads {whose}may wait for decoding, got one more; retry later."
                raise Overloaded("busy", rule, retry_after_s=RETRY_AFTER_S)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came with the cancellation
                self._end(tenant_id)
            else:
                self._leave(tenant_id, turn)
            raise

    def _begin(self, tenant_id: str) -> None:
        self._free -= 1
        self._running[tenant_id] += 1

    def _end(self, tenant_id: str) -> None:
        self._free += 1
        self._running[tenant_id] -= 1
        if not self._running[tenant_id]:
            del self._running[tenant_id]
        if self._queues:
            chosen = min(self._queues, key=self._running.__getitem__)  # the first among equals
            turn = self._queues[chosen].popleft()
            queue = self._queues.pop(chosen)
            if queue:
                self._queues[chosen] = queue
            self._begin(chosen)
            turn.set_result(None)

    def _leave(self, tenant_id: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues[tenant_id]
        queue.remove(turn)
        if not queue:
            del self._queues[tenant_id]
