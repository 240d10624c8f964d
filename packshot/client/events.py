"""Server-sent events: parse them, and resume a broken stream behind its last event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
from httpx_sse import EventSource, ServerSentEvent

from packshot.client.errors import unreachable
from packshot.contract.events import EVENTS, ShotEvent
from packshot.contract.status import ENDED
from packshot.errors import Unavailable

RECONNECTS = 20
"""How often an event stream is reconnected without a new event before the client gives up."""

RECONNECT_S = 0.5


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
            yield _event(event)


async def async_events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    """Like `events_of`, for an asynchronous response."""
    async for event in EventSource(answer).aiter_sse():
        if event.data:
            yield _event(event)


def _event(event: ServerSentEvent) -> Event:
    return Event(event.event, EVENTS.get(event.event, ShotEvent).model_validate_json(event.data), event.id)


class Stream:
    """What a client knows of a stream over its connections. `live` holds the ids of the shots that have not ended."""

    def __init__(self, shot_ids: Sequence[str]) -> None:
        self.live = set(shot_ids)
        self.params = {"shots": ",".join(shot_ids)}
        self._last_id = ""
        self._failures = 0

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the next connection."""
        return {"last-event-id": self._last_id} if self._last_id else {}

    def received(self, event: Event) -> None:
        """Note an event that arrived."""
        self._last_id, self._failures = event.id, 0
        if event.name in ENDED:
            self.live.discard(event.data.shot)

    def broke(self, error: httpx.TransportError | None) -> None:
        """Note the end of a connection while shots are live. Raises Unavailable when it is one too many."""
        self._failures += 1
        if self._failures <= RECONNECTS:
            return
        if error is not None:
            raise unreachable(error) from error
        raise Unavailable(
            "not_ready",
            "the event stream must last until every shot has ended, the server closed it "
            f"{self._failures} times running without an event and {len(self.live)} shots are live; "
            "get the shots one by one",
        )
