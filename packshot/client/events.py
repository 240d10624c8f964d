"""Server-sent events: follow a stream, and resume a broken one behind its last event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent

from packshot.client.errors import error_of, unreachable
from packshot.contract.events import EVENTS, ShotEvent, TrainingEvent
from packshot.contract.status import ENDED
from packshot.contract.trainings import TrainingAnswer
from packshot.errors import Unavailable

RECONNECTS = 20
"""How often an event stream is reconnected without a new event before the client gives up."""

RECONNECT_S = 0.5

E = TypeVar("E")


@dataclass(frozen=True)
class Event:
    """One event.

    `data` is an instance of the class that `EVENTS` has for `name`. Send `id` as `Last-Event-ID` to resume the stream.
    """

    name: str
    data: ShotEvent
    id: str


class Stream(Generic[E]):
    """What a client knows of a stream over its connections. `live` holds the ids of what has not ended.

    `params` are those of the request. `read` makes an event of what arrives, and says which id it ends, None = none.
    """

    def __init__(
        self, params: Mapping[str, str], ids: Sequence[str], read: Callable[[ServerSentEvent], tuple[E, str | None]]
    ) -> None:
        self.live = set(ids)
        self.params = params
        self._read = read
        self._last_id = ""
        self._failures = 0

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the next connection."""
        return {"last-event-id": self._last_id} if self._last_id else {}

    def received(self, arrived: ServerSentEvent) -> E:
        """Note an event that arrived, and return it."""
        self._last_id, self._failures = arrived.id, 0
        event, ended = self._read(arrived)
        if ended is not None:
            self.live.discard(ended)
        return event

    def broke(self, error: httpx.TransportError | None) -> None:
        """Note the end of a connection while something is live. Raises Unavailable when it is one too many."""
        self._failures += 1
        if self._failures <= RECONNECTS:
            return
        if error is not None:
            raise unreachable(error) from error
        raise Unavailable(
            "not_ready",
            "the event stream must last until all of it has ended, the server closed it "
            f"{self._failures} times running without an event and {len(self.live)} are live; get them one by one",
        )


def shots_stream(shot_ids: Sequence[str]) -> Stream[Event]:
    """A stream of the events of shots."""
    return Stream({"shots": ",".join(shot_ids)}, shot_ids, _shot_event)


def trainings_stream(training_ids: Sequence[str]) -> Stream[TrainingAnswer]:
    """A stream of trainings, each in its present state whenever that has changed."""
    return Stream({"trainings": ",".join(training_ids)}, training_ids, _training)


def _shot_event(arrived: ServerSentEvent) -> tuple[Event, str | None]:
    data = EVENTS.get(arrived.event, ShotEvent).model_validate_json(arrived.data)
    return Event(arrived.event, data, arrived.id), data.shot if arrived.event in ENDED else None


def _training(arrived: ServerSentEvent) -> tuple[TrainingAnswer, str | None]:
    training = TrainingEvent.model_validate_json(arrived.data).training
    return training, training.id if training.status in ENDED else None


def follow(http: httpx.Client, stream: Stream[E]) -> Iterator[E]:
    """Yield the events of a stream until the last one has ended. A broken connection is resumed without loss.

    Raises the server's error, and Unavailable when the server cannot be reached, or keeps closing the stream without
    an event.
    """
    while stream.live:
        broken: httpx.TransportError | None = None
        try:
            with http.stream("GET", "/v1/events", params=stream.params, headers=stream.headers) as answer:
                if answer.is_error:
                    answer.read()
                    raise error_of(answer)
                if answer.status_code == httpx.codes.NO_CONTENT:
                    return
                for arrived in EventSource(answer).iter_sse():
                    if arrived.data:  # the parser reports a keep-alive comment as an event without data
                        yield stream.received(arrived)
        except httpx.TransportError as error:
            broken = error
        if stream.live:
            stream.broke(broken)
            time.sleep(RECONNECT_S)


async def async_follow(http: httpx.AsyncClient, stream: Stream[E]) -> AsyncIterator[E]:
    """Like `follow`, for asyncio."""
    while stream.live:
        broken: httpx.TransportError | None = None
        try:
            async with http.stream("GET", "/v1/events", params=stream.params, headers=stream.headers) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise error_of(answer)
                if answer.status_code == httpx.codes.NO_CONTENT:
                    return
                async for arrived in EventSource(answer).aiter_sse():
                    if arrived.data:
                        yield stream.received(arrived)
        except httpx.TransportError as error:
            broken = error
        if stream.live:
            stream.broke(broken)
            await asyncio.sleep(RECONNECT_S)
