"""Trainings as they enter and leave the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from packshot.contract.status import Status
from packshot.contract.trainings import TrainingKind
from packshot.store.adapters import NewAdapter
from packshot.store.database import moment, moment_or_none

__all__ = [
    "EndedTraining",
    "NewTraining",
    "Progress",
    "TrainingClaim",
    "TrainingMark",
    "TrainingOrder",
    "TrainingPicture",
    "TrainingRecord",
    "training_record",
]


@dataclass(frozen=True)
class TrainingPicture:
    """A picture of a dataset: the id of an image or a photo, and its caption; empty = the captioner writes one."""

    id: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class TrainingOrder:
    """What a training learns, and from what. The fields are those of a request (`TrainingRequest`), filled in.

    `source` says where the pictures come from, for the adapter's lineage.
    """

    kind: TrainingKind
    tag: str
    class_words: str
    init_words: str
    vectors: int
    prior: int
    rank: int
    text_encoder: bool
    repeats: int
    epochs: int
    batch: int
    learning_rate: float | None
    samples: tuple[str, ...]
    seed: int
    licence: str
    source: str
    pictures: tuple[TrainingPicture, ...]

    def to_json(self) -> dict[str, Any]:
        """The form in which the database keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TrainingOrder:
        """The order of `to_json`'s form."""
        pictures = tuple(TrainingPicture(**one) for one in stored["pictures"])
        return cls(**{**stored, "samples": tuple(stored["samples"]), "pictures": pictures})


@dataclass(frozen=True, kw_only=True)
class NewTraining:
    """A training to store. `steps` are its own, and `max_s` the most seconds of its device, None = the budget's."""

    name: str
    engine: str
    order: TrainingOrder
    steps: int
    max_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """A stored training. `device_s` are the seconds of its device so far. Keys name its files; None = none yet.

    `version` counts its changes.
    """

    id: str
    tenant: str
    name: str
    engine: str
    status: Status
    order: TrainingOrder
    cancel_requested: bool
    step: int
    steps: int
    loss: float | None
    device_s: float
    max_s: float | None
    ended: str | None
    partial: bool
    error_code: str | None
    error_detail: str | None
    adapter_id: str | None
    sheet_key: str | None
    loss_key: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    version: int


@dataclass(frozen=True)
class TrainingMark:
    """What a follower compares to see whether a training has changed. `version` counts its changes."""

    id: str
    tenant: str
    status: Status
    version: int


@dataclass(frozen=True, kw_only=True)
class TrainingClaim:
    """A training that a worker holds under a lease. `epoch` fences its writes.

    `attempt` counts the claims since it last made progress. `state_key` is the file from which it resumes, None = it
    begins.
    """

    id: str
    tenant: str
    key_id: str | None
    name: str
    engine: str
    order: TrainingOrder
    epoch: int
    attempt: int
    step: int
    steps: int
    state_key: str | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a worker reports of its training. `spent_s` are the seconds since its last report. Files that are None stay.

    `sheet` and `curves` are PNGs, and `state` an archive of what a resume needs.
    """

    step: int
    loss: float | None
    spent_s: float
    sheet: bytes | None = None
    curves: bytes | None = None
    state: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class EndedTraining:
    """How a training ended. `ended` is why it ended before its last step.

    `adapter` and its file `data` are what it made, None = nothing. `partial`: it has fewer steps than were planned.
    """

    status: Status
    ended: str | None = None
    code: str | None = None
    detail: str | None = None
    adapter: NewAdapter | None = None
    data: bytes = b""
    partial: bool = False


def training_record(row: Row[Any]) -> TrainingRecord:
    """Convert a row of `training`."""
    return TrainingRecord(
        id=row.id,
        tenant=row.tenant_id,
        name=row.name,
        engine=row.engine,
        status=row.status,
        order=TrainingOrder.from_json(row.job),
        cancel_requested=row.cancel_requested,
        step=row.step,
        steps=row.steps,
        loss=row.loss,
        device_s=row.device_s,
        max_s=row.max_s,
        ended=row.ended,
        partial=row.partial,
        error_code=row.error_code,
        error_detail=row.error_detail,
        adapter_id=row.adapter_id,
        sheet_key=row.sheet_key,
        loss_key=row.loss_key,
        created_at=moment(row.created_at),
        started_at=moment_or_none(row.started_at),
        finished_at=moment_or_none(row.finished_at),
        version=row.version or 0,
    )
