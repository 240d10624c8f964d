"""Server-sent events as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from httpx_sse import EventSource

from packshot.contract.events import EVENTS, ShotEvent


@dataclass(frozen=True)
class Event:
    """One event. `data`: the class that `EVENTS` gives for `name`. `id`: what to resume the stream with."""

    name: str
    data: ShotEvent
    id: str


def events_of(answer: httpx.Response) -> Iterator[Event]:
    """The events of one connection, as they come. Raises httpx.TransportError when it breaks or is no event stream."""
    for event in EventSource(answer).iter_sse():
        if event.data:  # a keep-alive comment ends like an event, but has no data
            yield Event(event.event, EVENTS.get(event.event, ShotEvent).model_validate_json(event.data), event.id)
