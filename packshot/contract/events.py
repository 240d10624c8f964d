"""What the events of a stream carry. Each names its shot; the event's own name says which of these it is."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from packshot.contract.answers import ErrorAnswer, ImageAnswer
from packshot.contract.base import Answer


class ShotEvent(Answer):
    """An event about a shot. A reader also gets this for an event that it does not know."""

    name: ClassVar[str] = ""

    shot: str = Field(description="The shot's id.")


class QueuedEvent(ShotEvent):
    """The shot waits."""

    name: ClassVar[str] = "queued"

    position: int = Field(description="Shots that would be started before this one now.")


class ProgressEvent(ShotEvent):
    """The shot runs. `steps` counts the denoising steps of all its pictures."""

    name: ClassVar[str] = "progress"

    step: int
    steps: int


class PreviewEvent(ShotEvent):
    """There is a new preview of the first picture."""

    name: ClassVar[str] = "preview"

    url: str


class DoneEvent(ShotEvent):
    """The shot is finished. This is the last event about it."""

    name: ClassVar[str] = "done"

    images: tuple[ImageAnswer, ...]


class FailedEvent(ShotEvent):
    """The shot failed. This is the last event about it."""

    name: ClassVar[str] = "failed"

    error: ErrorAnswer


class CancelledEvent(ShotEvent):
    """The shot was cancelled. This is the last event about it."""

    name: ClassVar[str] = "cancelled"


EVENTS: dict[str, type[ShotEvent]] = {
    event.name: event for event in (QueuedEvent, ProgressEvent, PreviewEvent, DoneEvent, FailedEvent, CancelledEvent)
}
"""Every event by its name, in the order in which a stream may send them."""
