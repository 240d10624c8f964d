"""The objects that the routes use. `create_app` makes them once and keeps them in the app's state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import Depends, Request

from packshot.api.concurrency_limit import ConcurrencyLimit
from packshot.api.decoding import Decoder
from packshot.api.fair_queue import FairQueue
from packshot.api.graph import Graph
from packshot.api.rate_limit import RateLimit
from packshot.api.watch import Watch
from packshot.meter import Meter
from packshot.settings import Settings
from packshot.store.records import ShotRecord
from packshot.store.store import Store
from packshot.store.training_records import TrainingMark

T = TypeVar("T")

LARGE_BYTES = 32 * 1024 * 1024
"""A larger upload waits for one of LARGE_AT_ONCE places too, because an upload is in memory while it is decoded."""

LARGE_AT_ONCE = 2

STREAMS_IN_ALL = 1024
"""Event streams and held answers of all tenants in this process."""

ARCHIVES_EACH, ARCHIVES_IN_ALL = 1, 2
"""Archives of photos that may arrive at once, of a tenant and in all."""

MAX_WAITING, MAX_WAITING_EACH = 64, 32
"""How many uploads, in all and of a tenant, may wait for a decode worker of this replica; more get 429 `busy`."""


@dataclass(frozen=True)
class Services:
    """The objects that the routes use.

    `decode_queue` limits how many uploads are decoded, and are in memory, at once. `large_queue` limits the large
    ones among them; plans of large manifests wait there too. `streams` counts event streams and answers that
    wait, and `archives` the archives of photos that arrive, each of which takes room on the disk. `public_limit` is
    that of requests without a key.
    """

    store: Store
    graph: Graph
    decoder: Decoder
    settings: Settings
    meter: Meter
    decode_queue: FairQueue
    large_queue: FairQueue
    watch: Watch[ShotRecord]
    training_watch: Watch[TrainingMark]
    streams: ConcurrencyLimit
    archives: ConcurrencyLimit
    public_limit: RateLimit


@asynccontextmanager
async def decode_slot(services: Services, tenant_id: str, size_bytes: int = 0) -> AsyncIterator[None]:
    """Wait for the tenant's turn at the decoder, and hold a slot of it, for an upload of `size_bytes`.

    Raises Overloaded `busy` when too many uploads wait already.
    """
    large = services.large_queue.slot(tenant_id) if size_bytes > LARGE_BYTES else nullcontext()
    async with large, services.decode_queue.slot(tenant_id):
        yield


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Wired = Annotated[Services, Depends(services_of)]


async def in_thread(call: Callable[..., T], *args: Any, **named: Any) -> T:
    """Run a blocking call (store, codec) in a thread, so that it does not block the event loop."""
    return await anyio.to_thread.run_sync(lambda: call(*args, **named))
