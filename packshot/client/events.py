"""Parse server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from httpx_sse import EventSource

from packshot.contract.events import EVENTS, ShotEvent


@dataclass(frozen=True)
class Event:
    """One event.

    `data` is an instance of the class that `EVENTS` has for `name`. Send `id` as `Last-Event-ID` to resume the stream.
    """

    name: str
    data: ShotEvent
    id: str


def events_of(answer: httpx.Response) -> Iterator[Event]:
    """Yield the events of one connection as they arrive.

    Raises httpx.TransportError when the connection breaks or the response is not an event stream.
    """
    for event in EventSource(answer).iter_sse():
        if event.data:  # the parser reports a keep-alive comment as an event without data
            yield Event(event.event, EVENTS.get(event.event, ShotEvent).model_validate_json(event.data), event.id)
