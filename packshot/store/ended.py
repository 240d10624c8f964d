"""What is written together with the end of a shot: its usage, and the events for webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from packshot.contract.answers import ErrorAnswer
from packshot.contract.status import ENDED
from packshot.contract.webhooks import PictureOfEvent, ShotEnded
from packshot.store.budgets import note_device_time
from packshot.store.outbox import publish
from packshot.store.usage import add_usage


def note_end(
    connection: Connection,
    row: Row[Any],
    image_ids: Sequence[str] = (),
    *,
    painted: int | None = None,
    device_s: float = 0.0,
) -> None:
    """Publish `shot.ended` and add up the usage, if this row of `shot` has ended.

    Call it last in the transaction that changed the row's status, with the pictures of a shot that is done, how many
    were painted for them (None = each once), and the time for which a device worked on them, in seconds.
    """
    if row.status not in ENDED:
        return
    error = ErrorAnswer(code=row.error_code, detail=row.error_detail or "") if row.status == "failed" else None
    event = ShotEnded(
        id=row.id,
        url=f"/v1/shots/{row.id}",
        status=row.status,
        kind=row.kind or "shot",
        sku=row.sku,
        meta=row.meta or {},
        project_id=row.project_id,
        images=tuple(PictureOfEvent(id=image_id, url=f"/v1/images/{image_id}") for image_id in image_ids),
        error=error,
    )
    publish(connection, row.tenant_id, event)
    if row.status == "done":
        add_usage(connection, row, len(image_ids) if painted is None else painted, device_s)
        note_device_time(connection, row)
