"""The bodies and answers of webhooks, and the data of each event that they send.

A delivery's body is `{"type": …, "timestamp": …, "data": …}`, as Standard Webhooks has it. Paths in `data` are paths on
this server. Later versions add fields and events; a receiver ignores what it does not know.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from packshot.contract.answers import ErrorAnswer
from packshot.contract.base import Answer, Moment, Number, absent
from packshot.contract.requests import Request
from packshot.contract.status import ShotKind
from packshot.contract.trainings import TrainingKind

EventType = Literal[
    "shot.ended", "image.reviewed", "catalogue.row_ended", "catalogue.ended", "training.ended", "budget.reached"
]
MAX_URL_CHARS = 2_000


class WebhookEvent(Answer):
    """Base class of the data of an event. `type` is the event's name."""

    type: ClassVar[EventType]


class PictureOfEvent(Answer):
    """A picture of a shot that has ended."""

    id: str
    url: str = Field(description="Path of the picture.")


class ShotEnded(WebhookEvent):
    """`shot.ended`: a shot is done, has failed for good, or was cancelled."""

    type = "shot.ended"
    id: str
    url: str = Field(description="Path of the shot.")
    status: Literal["done", "failed", "cancelled"]
    kind: ShotKind = Field(
        "shot", description="What it was: a shot, a touchup or a clip of a picture, or an enhancement."
    )
    sku: str | None = Field(description="The article's number that the client wrote on it; null = none.")
    meta: dict[str, str] = Field(description="The client's own notes on it.")
    project_id: str | None = Field(None, exclude_if=absent, description="The project that it belongs to.")
    images: tuple[PictureOfEvent, ...] = Field(description="Its pictures; none unless it is done.")
    error: ErrorAnswer | None = Field(None, exclude_if=absent, description="Only of a failed shot.")


class ImageReviewed(WebhookEvent):
    """`image.reviewed`: a picture has another review state."""

    type = "image.reviewed"
    id: str
    url: str = Field(description="Path of the picture.")
    shot_id: str
    version: int = Field(description="The version that was reviewed.")
    state: str = Field(description="The new state.")
    reason: str | None = Field(None, exclude_if=absent, description="The code of the reason.")
    note: str | None = Field(None, exclude_if=absent, description="The reviewer's words.")


class CatalogueRowEnded(WebhookEvent):
    """`catalogue.row_ended`: a row of a catalogue is done, failed or skipped."""

    type = "catalogue.row_ended"
    catalogue_id: str
    row: int = Field(description="The row's number in the manifest, from 1.")
    sku: str
    state: Literal["done", "failed", "skipped"]
    code: str | None = Field(None, exclude_if=absent, description="The error's code of a failed row.")
    reason: str | None = Field(None, exclude_if=absent, description="Why the row failed or was skipped.")
    images: tuple[PictureOfEvent, ...] = ()
    deliveries: tuple[str, ...] = Field((), description="Paths of the delivered files.")


class CatalogueEnded(WebhookEvent):
    """`catalogue.ended`: a catalogue is done or was cancelled."""

    type = "catalogue.ended"
    id: str
    url: str = Field(description="Path of the catalogue.")
    name: str
    state: Literal["done", "cancelled"]
    counts: dict[str, int] = Field(description="How many rows have which state.")


class TrainingEnded(WebhookEvent):
    """`training.ended`: a training is done, has failed for good, or was cancelled."""

    type = "training.ended"
    id: str
    url: str = Field(description="Path of the training.")
    name: str
    kind: TrainingKind
    status: Literal["done", "failed", "cancelled"]
    step: int
    steps: int
    ended: str | None = Field(
        None, exclude_if=absent, description="Why it ended before its last step; absent = it did not."
    )
    adapter_id: str | None = Field(
        None, exclude_if=absent, description="The adapter that it made, at /v1/adapters/{adapter_id}."
    )
    partial: bool = Field(False, description="The adapter has fewer steps than were planned.")
    error: ErrorAnswer | None = Field(None, exclude_if=absent, description="Only of a failed training.")


class BudgetReached(WebhookEvent):
    """`budget.reached`: a budget is used up, or a request was refused because of it. Once in each period."""

    type = "budget.reached"
    owner: Literal["tenant", "key"]
    owner_id: str = Field(description="The id of the tenant or the key that has the budget.")
    budget: Literal["images_per_day", "device_s_per_month"]
    limit: Number
    spent: Number
    resets_at: Moment = Field(description="When the next period begins.")


EVENTS: tuple[type[WebhookEvent], ...] = (
    ShotEnded,
    ImageReviewed,
    CatalogueRowEnded,
    CatalogueEnded,
    TrainingEnded,
    BudgetReached,
)


class WebhookRequest(Request):
    """A webhook to create."""

    url: str = Field(
        min_length=1,
        max_length=MAX_URL_CHARS,
        description="Where events are sent: https, at public addresses only. On loopback, http is allowed too.",
    )
    events: list[EventType] = Field(min_length=1, max_length=20, description="The events to send.")


class WebhookAnswer(Answer):
    """A webhook, without its secret."""

    id: str
    url: str = Field(description="Where events are sent.")
    events: tuple[EventType, ...]
    disabled_at: Moment | None = Field(
        None, exclude_if=absent, description="When its receiver answered 410 Gone; it gets no more events."
    )
    rotated_until: Moment | None = Field(
        None, exclude_if=absent, description="Until then, events are signed with the earlier secret too."
    )
    created_at: Moment


class SecretWebhookAnswer(WebhookAnswer):
    """A webhook with its secret, which is shown only now."""

    secret: str = Field(description="`whsec_` and 32 random bytes in base64, for the receiver's verification.")


class WebhookPage(Answer):
    """A page of webhooks, newest first."""

    webhooks: tuple[WebhookAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


class AttemptAnswer(Answer):
    """One attempt to send an event."""

    n: int = Field(description="The attempt's number in its webhook, from 1.")
    message_id: str = Field(description="The `webhook-id` of the event; its other attempts have the same one.")
    event: EventType
    at: Moment
    duration_ms: Number
    status: int | None = Field(description="The HTTP status of the answer; null if none came.")
    error: str | None = Field(None, exclude_if=absent, description="Why the attempt failed.")
    next_at: Moment | None = Field(
        None, exclude_if=absent, description="When the event is sent again; absent when it is not."
    )


class AttemptPage(Answer):
    """A page of attempts, newest first."""

    attempts: tuple[AttemptAnswer, ...]
    next_cursor: str | None = Field(description="The value of `cursor` for the next page; null on the last page.")


class ResendAnswer(Answer):
    """An event that will be sent again."""

    message_id: str = Field(description="The `webhook-id` of the event, as before.")


WEBHOOK_BODIES: tuple[type[Request], ...] = (WebhookRequest,)
"""The request bodies of this module, for the OpenAPI document."""
