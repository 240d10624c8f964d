"""Server-sent events about shots and trainings. A stream ends when all of them have ended.

An event's id lists the version of everything on the stream, in the order of the request, shots first. A client
that reconnects with `Last-Event-ID` gets the changes since that event and never receives the same ending twice. A
stream whose key was revoked ends within seconds; the client's next request is refused.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from packshot.api.auth import Caller, caller
from packshot.api.concurrency_limit import ConcurrencyLimit
from packshot.api.conversions import clip_answer, error_answer, image_answer
from packshot.api.cookies import COOKIE
from packshot.api.openapi import headers_json, keyed_problems_json, problems_json, stream_json
from packshot.api.services import Services, Wired, in_thread
from packshot.api.trainings import training_answer
from packshot.api.watch import Watch
from packshot.contract import examples
from packshot.contract.answers import ErrorAnswer
from packshot.contract.events import (
    STREAMED,
    CancelledEvent,
    DoneEvent,
    FailedEvent,
    PreviewEvent,
    ProgressEvent,
    QueuedEvent,
    ShotEvent,
    TrainingEvent,
)
from packshot.contract.status import ENDED
from packshot.errors import BadInput, NotFound, Overloaded, Unauthorized
from packshot.store.records import ShotRecord
from packshot.store.training_records import TrainingMark, TrainingRecord

R = TypeVar("R")

router = APIRouter(prefix="/v1", tags=["events"], responses=keyed_problems_json())

KEEP_ALIVE_S = 15
KEY_CHECK_S = 5.0
"""Seconds after which a stream looks again whether its key is still valid."""

MAX_FOLLOWED = 100

_VERSIONS = re.compile(r"\d{1,18}(\.\d{1,18})*")
_RESUME = headers_json(Last_Event_ID="The id of the last event received. The stream continues after it.")


@router.get(
    "/shots/{shot_id}/events",
    operation_id="watch_shot",
    summary="Follow a shot",
    response_class=Response,
    responses=stream_json(examples.EVENT_STREAM) | problems_json(NotFound, Overloaded),
    openapi_extra=_RESUME,
)
async def shot_events(shot_id: str, request: Request, services: Wired, tenant: Caller) -> Response:
    """Sends `queued`, `progress` and `preview`, then exactly one of `done`, `failed` and `cancelled`."""
    return await _stream(request, services, tenant.id, [shot_id], [])


@router.get(
    "/events",
    operation_id="watch_shots",
    summary="Follow several shots and trainings on one stream",
    response_class=Response,
    responses=stream_json(examples.EVENT_STREAM, STREAMED) | problems_json(BadInput, NotFound, Overloaded),
    openapi_extra=_RESUME,
)
async def events(
    request: Request,
    services: Wired,
    tenant: Caller,
    shots: Annotated[str, Query(description="Comma-separated shot ids.")] = "",
    trainings: Annotated[str, Query(description="Comma-separated training ids.")] = "",
) -> Response:
    """At most 100 in all. Each event of a shot names it in `shot`; `training` has a training in its present state."""
    shot_ids, training_ids = (_ids(given) for given in (shots, trainings))
    count = len(shot_ids) + len(training_ids)
    if not 1 <= count <= MAX_FOLLOWED:
        rule = f"shots and trainings must name 1 to {MAX_FOLLOWED} ids, got {count}"
        raise BadInput("invalid_request", f"{rule}.", errors=[{"loc": ["query", "shots"], "msg": rule}])
    return await _stream(request, services, tenant.id, shot_ids, training_ids)


def _ids(given: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))


async def _stream(
    request: Request, services: Services, tenant_id: str, shot_ids: list[str], training_ids: list[str]
) -> Response:
    store = services.store
    found = await in_thread(store.shots.watch, [(tenant_id, one) for one in shot_ids]) if shot_ids else {}
    marks = await in_thread(store.trainings.watch, [(tenant_id, one) for one in training_ids]) if training_ids else {}
    for kind, ids, known in (("shot", shot_ids, found.keys()), ("training", training_ids, marks.keys())):
        missing = sorted(set(ids) - {one for _, one in known})
        if missing:
            raise NotFound("not_found", f"No {kind} has the id {missing[0]}.")
    progress = Progress(shot_ids, request.headers.get("last-event-id", ""), training_ids)
    first = await _events(services, progress, found.values(), marks.values())
    if not first and not progress.live:
        return Response(status_code=204)
    return _Stream(services.streams, tenant_id, _follow(request, services, tenant_id, progress, first))


class _Stream(EventSourceResponse):
    """An event stream that holds a place of its tenant. Without one it is refused before it begins."""

    def __init__(self, slots: ConcurrencyLimit, tenant_id: str, content: AsyncIterator[ServerSentEvent]) -> None:
        super().__init__(content, ping=KEEP_ALIVE_S)
        self._slots = slots
        self._tenant_id = tenant_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slots.slot(self._tenant_id):
            await super().__call__(scope, receive, send)


async def _follow(
    request: Request, services: Services, tenant_id: str, progress: Progress, first: list[ServerSentEvent]
) -> AsyncIterator[ServerSentEvent]:
    checked_at = time.monotonic()
    for event in first:
        yield event
    while progress.live:
        if time.monotonic() - checked_at >= KEY_CHECK_S:
            if not await _is_still_allowed(request, services):
                return
            checked_at = time.monotonic()
        shots, marks = await asyncio.gather(
            _next(services.watch, tenant_id, progress.live - progress.trainings),
            _next(services.training_watch, tenant_id, progress.live & progress.trainings),
        )
        # a deleted one has no further events
        progress.live &= {shot.id for shot in shots} | {mark.id for mark in marks}
        for event in await _events(services, progress, shots, marks):
            yield event


async def _next(watch: Watch[R], tenant_id: str, ids: Set[str]) -> list[R]:
    return await watch.next(tenant_id, sorted(ids)) if ids else []


async def _events(
    services: Services, progress: Progress, shots: Iterable[ShotRecord], marks: Iterable[TrainingMark]
) -> list[ServerSentEvent]:
    """The events of what has changed. A training is read whole only then, because its captions may be long."""
    events = [event for shot in shots for event in progress.changes(shot)]
    for mark in marks:
        if progress.has_news(mark):
            try:
                record = await in_thread(services.store.trainings.get, mark.tenant, mark.id)
            except NotFound:
                progress.live.discard(mark.id)
            else:
                events.append(progress.training(record))
    return events


async def _is_still_allowed(request: Request, services: Services) -> bool:
    """Whether the key or the session of a request that began earlier is still valid."""
    try:
        await caller(request, services, None, request.cookies.get(COOKIE))
    except Unauthorized:
        return False
    return True


@dataclass(frozen=True)
class _Sent:
    """The state of a shot that the stream has sent."""

    status: str
    position: int
    step: int
    preview_version: int


class Progress:
    """Which state of each shot and training a stream has sent. `live` holds the ids of those that have not ended.

    `last_event_id` is the client's `Last-Event-ID`; a value that does not fit the ids is ignored.
    """

    def __init__(self, shot_ids: Sequence[str], last_event_id: str, training_ids: Sequence[str] = ()) -> None:
        ids = [*shot_ids, *training_ids]
        self.trainings = frozenset(training_ids)
        received = [int(part) for part in last_event_id.split(".")] if _VERSIONS.fullmatch(last_event_id) else []
        self._versions = dict(zip(ids, received if len(received) == len(ids) else [-1] * len(ids), strict=True))
        self._sent: dict[str, _Sent] = {}
        self.live = set(ids)

    def changes(self, shot: ShotRecord) -> list[ServerSentEvent]:
        """The events that bring the client from the state last sent to the shot's present state."""
        before = self._sent.get(shot.id)
        now = _Sent(shot.status, shot.position, shot.step, shot.preview_version)
        self._sent[shot.id] = now
        if shot.status in ENDED:
            self.live.discard(shot.id)
        if now == before or (before is None and self._versions[shot.id] >= shot.version):
            return []
        events = list(_events_between(shot, before))
        # All but the last event keep the previous id, so a client that disconnects between them gets all again.
        ids = [self._id()] * (len(events) - 1)
        self._versions[shot.id] = shot.version
        ids.append(self._id())
        return [
            ServerSentEvent(event=event.name, data=json.dumps(event.model_dump(mode="json")), id=event_id)
            for event, event_id in zip(events, ids, strict=True)
        ]

    def has_news(self, mark: TrainingMark) -> bool:
        """Whether a training has changed since the state that the client has."""
        if mark.status in ENDED:
            self.live.discard(mark.id)
        return mark.version > self._versions[mark.id]

    def training(self, record: TrainingRecord) -> ServerSentEvent:
        """The event that brings the client to the training's present state."""
        if record.status in ENDED:
            self.live.discard(record.id)
        self._versions[record.id] = record.version
        event = TrainingEvent(training=training_answer(record))
        return ServerSentEvent(event=event.name, data=json.dumps(event.model_dump(mode="json")), id=self._id())

    def _id(self) -> str:
        return ".".join(str(max(0, version)) for version in self._versions.values())


def _events_between(shot: ShotRecord, before: _Sent | None) -> list[ShotEvent]:
    if shot.status == "queued":
        return [QueuedEvent(shot=shot.id, position=shot.position, position_estimated=shot.position_estimated or None)]
    if shot.status == "done":
        clip = None if shot.clip is None else clip_answer(shot.clip)
        return [DoneEvent(shot=shot.id, images=tuple(image_answer(image) for image in shot.images), clip=clip)]
    if shot.status == "failed":
        return [FailedEvent(shot=shot.id, error=error_answer(shot) or ErrorAnswer(code="internal", detail=""))]
    if shot.status == "cancelled":
        return [CancelledEvent(shot=shot.id)]
    events: list[ShotEvent] = [ProgressEvent(shot=shot.id, step=shot.step, steps=shot.steps)]
    if shot.preview_version > (before.preview_version if before else 0):
        events.append(PreviewEvent(shot=shot.id, url=f"/v1/shots/{shot.id}/preview"))
    return events
