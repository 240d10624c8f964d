"""The objects that the routes use. `create_app` makes them once and keeps them in the app's state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from packshot.api.decoding import Decoder
from packshot.api.graph import Graph
from packshot.api.watch import Watch
from packshot.meter import Meter
from packshot.settings import Settings
from packshot.store.store import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """The objects that the routes use. `decode_slots` limits how many uploads are decoded at once."""

    store: Store
    graph: Graph
    decoder: Decoder
    settings: Settings
    meter: Meter
    decode_slots: anyio.CapacityLimiter
    watch: Watch


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Wired = Annotated[Services, Depends(services_of)]


async def in_thread(call: Callable[..., T], *args: Any, **named: Any) -> T:
    """Run a blocking call (store, codec) in a thread, so that it does not block the event loop."""
    return await anyio.to_thread.run_sync(lambda: call(*args, **named))
