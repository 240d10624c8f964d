"""Single flight over a byte-bounded cache: the same key is computed once, however many ask at the same time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """Least-recently-used cache of up to `max_bytes` as `size_of` counts them; use it from one event loop.

    A caller that is cancelled leaves the computation to the others: what is shared is shielded. A failure is told to
    every caller that waited for it, and not kept.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.hits = 0
        self._size_of = size_of
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._flights: dict[Hashable, asyncio.Task[Value]] = {}

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
        """The value of `key`, computed at most once at a time."""
        if key in self._kept:
            self.hits += 1
            self._kept.move_to_end(key)
            return self._kept[key]
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key, compute))
            self._flights[key] = flight
            flight.add_done_callback(_retrieve)
        else:
            self.hits += 1
        return await asyncio.shield(flight)

    def resize(self, max_bytes: int) -> None:
        """Keep at most `max_bytes` from now on."""
        self.max_bytes = max_bytes
        self._evict()

    async def _fly(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
        try:
            value = await compute()
        finally:
            del self._flights[key]
        self._kept[key] = value
        self.bytes += self._size_of(value)
        self._evict()
        return value

    def _evict(self) -> None:
        while self.bytes > self.max_bytes and self._kept:
            _, value = self._kept.popitem(last=False)
            self.bytes -= self._size_of(value)


def _retrieve(flight: asyncio.Task[Value]) -> None:
    """Mark the failure as seen: every waiter may have been cancelled."""
    if not flight.cancelled():
        flight.exception()
