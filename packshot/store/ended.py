"""What is written together with the end of a shot: the event for webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from packshot.contract.answers import ErrorAnswer
from packshot.contract.status import ENDED
from packshot.contract.webhooks import PictureOfEvent, ShotEnded
from packshot.store.outbox import publish


def note_end(connection: Connection, row: Row[Any], image_ids: Sequence[str] = ()) -> None:
    """Publish `shot.ended` if this row of `shot` has ended.

    Call it last in the transaction that changed the row's status, with the pictures of a shot that is done.
    """
    if row.status not in ENDED:
        return
    error = ErrorAnswer(code=row.error_code, detail=row.error_detail or "") if row.status == "failed" else None
    event = ShotEnded(
        id=row.id,
        url=f"/v1/shots/{row.id}",
        status=row.status,
        sku=row.sku,
        meta=row.meta or {},
        project_id=row.project_id,
        images=tuple(PictureOfEvent(id=image_id, url=f"/v1/images/{image_id}") for image_id in image_ids),
        error=error,
    )
    publish(connection, row.tenant_id, event)
