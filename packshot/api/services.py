"""The objects that the routes use. `create_app` makes them once and keeps them in the app's state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from packshot.api.decoding import Decoder
from packshot.api.graph import Graph
from packshot.api.places import Places
from packshot.api.watch import Watch
from packshot.errors import Overloaded
from packshot.meter import Meter
from packshot.settings import Settings
from packshot.store.store import Store

T = TypeVar("T")

LARGE_BYTES = 32 * 1024 * 1024
"""A larger upload waits for one of LARGE_AT_ONCE places too, because an upload is in memory while it is decoded."""

LARGE_AT_ONCE = 2

STREAMS_IN_ALL = 1024
"""Event streams and held answers of all tenants in this process."""

MAX_WAITING = 64
"""How many uploads may wait for a decode worker of this replica. Further ones are refused with 429 `busy`."""


@dataclass(frozen=True)
class Services:
    """The objects that the routes use.

    `decode_slots` limits how many uploads are decoded, and are in memory, at once. `large_slots` limits the large ones
    among them. `streams` counts event streams and answers that wait.
    """

    store: Store
    graph: Graph
    decoder: Decoder
    settings: Settings
    meter: Meter
    decode_slots: anyio.CapacityLimiter
    large_slots: anyio.CapacityLimiter
    watch: Watch
    streams: Places


@asynccontextmanager
async def decode_slot(services: Services, size_bytes: int = 0) -> AsyncIterator[None]:
    """Wait for a slot of the decoder, and hold it, for an upload of `size_bytes`.

    Raises Overloaded `busy` when MAX_WAITING uploads wait already.
    """
    slots, large = services.decode_slots, services.large_slots
    if slots.statistics().tasks_waiting + large.statistics().tasks_waiting >= MAX_WAITING:
        raise Overloaded("busy", f"At most {MAX_WAITING} uploads may wait for decoding; retry later.", retry_after_s=2)
    async with large if size_bytes > LARGE_BYTES else nullcontext(), slots:
        yield


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Wired = Annotated[Services, Depends(services_of)]


async def in_thread(call: Callable[..., T], *args: Any, **named: Any) -> T:
    """Run a blocking call (store, codec) in a thread, so that it does not block the event loop."""
    return await anyio.to_thread.run_sync(lambda: call(*args, **named))
