"""The event of trainings for webhooks, written in the transaction that ends a training."""

from __future__ import annotations

from sqlalchemy import Connection

from packshot.contract.answers import ErrorAnswer
from packshot.contract.webhooks import TrainingEnded
from packshot.store.outbox import publish
from packshot.store.training_records import TrainingRecord


def training_ended(connection: Connection, record: TrainingRecord) -> None:
    """Publish `training.ended` of a training that has ended. Call it last in the transaction that ended it."""
    if record.status not in ("done", "failed", "cancelled"):
        return
    error = ErrorAnswer(code=record.error_code, detail=record.error_detail or "") if record.error_code else None
    event = TrainingEnded(
        id=record.id,
        url=f"/v1/trainings/{record.id}",
        name=record.name,
        kind=record.order.kind,
        status=record.status,
        step=record.step,
        steps=record.steps,
        ended=record.ended,
        adapter_id=record.adapter_id,
        partial=record.partial,
        error=error,
    )
    publish(connection, record.tenant, event)
