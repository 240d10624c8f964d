"""The outbox: events for webhooks, written in the transaction of the state that they report."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import Connection, select

from packshot.contract.base import iso
from packshot.contract.webhooks import WebhookEvent
from packshot.store.database import moment, new_id
from packshot.store.notifications import OUTBOX, notify
from packshot.store.schema import Now
from packshot.store.schema_webhooks import webhook, webhook_message

NEW_FOR_S = 86_400.0
"""A new message has been due for this many seconds, so that a clock that is set back does not delay it."""


def publish(connection: Connection, tenant_id: str, *events: WebhookEvent) -> None:
    """Write events for the tenant's webhooks. They are sent if `connection`'s transaction commits, and only then.

    A tenant without webhooks costs one query. The call may lock the tenant's webhooks against deletion.
    """
    if not events:
        return
    mine = (webhook.c.tenant_id == tenant_id) & webhook.c.disabled_at.is_(None)
    query = select(webhook.c.id, webhook.c.events, Now().label("now")).where(mine)
    hooks = connection.execute(query.with_for_update(read=True, key_share=True)).all()
    messages = [
        {
            "id": new_id("ms"),
            "webhook_id": hook.id,
            "event": event.type,
            "body": _body(event, moment(hook.now)),
            "tries": 0,
            "due_at": hook.now - NEW_FOR_S,
            "created_at": hook.now,
        }
        for event in events
        for hook in hooks
        if event.type in hook.events
    ]
    if messages:
        connection.execute(webhook_message.insert(), messages)
        notify(connection, OUTBOX)


def _body(event: WebhookEvent, happened_at: datetime) -> str:
    body = {"type": event.type, "timestamp": iso(happened_at), "data": event.model_dump(mode="json")}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
