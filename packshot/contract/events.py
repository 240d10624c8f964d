"""The data of the events of a stream. The name of a server-sent event decides which class its data has."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from packshot.contract.answers import ErrorAnswer, ImageAnswer
from packshot.contract.base import Answer, absent
from packshot.contract.clips import ClipAnswer
from packshot.contract.trainings import TrainingAnswer


class ShotEvent(Answer):
    """Base class of the events of a shot. The client uses it for events whose name it does not recognise."""

    name: ClassVar[str] = ""

    shot: str = Field(description="The shot's id.")


class QueuedEvent(ShotEvent):
    """The shot is waiting in the queue."""

    name: ClassVar[str] = "queued"

    position: int = Field(description="Shots that would start before this one.")
    position_estimated: bool | None = Field(
        None, exclude_if=absent, description="True where `position` is an estimate; absent where it is exact."
    )


class ProgressEvent(ShotEvent):
    """The shot is running: `step` of `steps` denoising steps are completed, over all its pictures."""

    name: ClassVar[str] = "progress"

    step: int
    steps: int


class PreviewEvent(ShotEvent):
    """A new preview is available: the first picture's at `url`, any other's at `url` with `?image=` and its number."""

    name: ClassVar[str] = "preview"

    url: str


class DoneEvent(ShotEvent):
    """The shot is done. This is its last event."""

    name: ClassVar[str] = "done"

    images: tuple[ImageAnswer, ...]
    clip: ClipAnswer | None = Field(None, exclude_if=absent, description="Only of work of kind clip.")


class FailedEvent(ShotEvent):
    """The shot failed. This is its last event."""

    name: ClassVar[str] = "failed"

    error: ErrorAnswer


class CancelledEvent(ShotEvent):
    """The shot was cancelled. This is its last event."""

    name: ClassVar[str] = "cancelled"


EVENTS: dict[str, type[ShotEvent]] = {
    event.name: event for event in (QueuedEvent, ProgressEvent, PreviewEvent, DoneEvent, FailedEvent, CancelledEvent)
}
"""Every event class of a shot by its name, in the order in which a stream may send them."""


class TrainingEvent(Answer):
    """A training of the stream in its present state. Its last event has the status done, failed or cancelled."""

    name: ClassVar[str] = "training"

    training: TrainingAnswer = Field(description="As `GET /v1/trainings/{id}` answers.")


STREAMED: dict[str, type[Answer]] = {**EVENTS, TrainingEvent.name: TrainingEvent}
"""Every event class of `/v1/events` by its name."""
