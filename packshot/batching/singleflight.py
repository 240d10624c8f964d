"""A cache with a limit in bytes whose concurrent requests for one key share one computation (single flight)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SingleFlight(Generic[Value]):
    """A least-recently-used cache of values of at most `max_bytes` in total; `size_of` returns a value's size in bytes.

    A cancelled caller does not cancel the computation, because other callers may wait for it. If the computation
    fails, every waiting caller gets the error, and the error is not cached. Use a SingleFlight from one event loop.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.hits = 0
        self._size_of = size_of
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._flights: dict[Hashable, asyncio.Task[Value]] = {}

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
        """Return the cached value of `key`. Otherwise wait for its running computation, or start `compute`."""
        if key in self._kept:
            self.hits += 1
            self._kept.move_to_end(key)
            return self._kept[key]
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._compute(key, compute))
            self._flights[key] = flight
            flight.add_done_callback(_retrieve)
        else:
            self.hits += 1
        return await asyncio.shield(flight)

    def resize(self, max_bytes: int) -> None:
        """Change the limit to `max_bytes`, and evict values until the cache fits."""
        self.max_bytes = max_bytes
        self._evict()

    async def _compute(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
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
    """Retrieve the task's error, so that asyncio does not log it when all callers were cancelled."""
    if not flight.cancelled():
        flight.exception()
