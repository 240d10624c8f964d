"""Webhooks as clients see them: create, list, rotate, delete, attempts, resends. outbound.py is the sender's view."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from packshot.contract.webhooks import EventType
from packshot.errors import BadInput, Conflict
from packshot.store.database import Database, absent, moment, moment_or_none, new_id, require_id
from packshot.store.named import own_row
from packshot.store.notifications import OUTBOX, notify
from packshot.store.outbox import NEW_FOR_S
from packshot.store.pages import MAX_PAGE, page_of
from packshot.store.schema import Now, tenant
from packshot.store.schema_webhooks import webhook, webhook_attempt, webhook_message

MAX_WEBHOOKS = 20
"""Webhooks of one tenant."""

ROTATION_S = 24 * 3600.0
"""How long the earlier secret goes on signing after a rotation, in seconds."""

KEPT_S = 7 * 24 * 3600.0
"""How long a message is kept with its attempts, in seconds. Its last attempt comes 28 hours after the first."""


@dataclass(frozen=True)
class WebhookRecord:
    """A webhook. `rotated_until` is when its earlier secret stops to sign; None when none does."""

    id: str
    tenant: str
    url: str
    events: tuple[EventType, ...]
    disabled_at: datetime | None
    rotated_until: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class NewWebhook:
    """A webhook with a new secret, which is shown only now."""

    record: WebhookRecord
    secret: str


@dataclass(frozen=True)
class AttemptRecord:
    """An attempt to send a message. `status` is None when no answer came, and `error` when it was received."""

    n: int
    message_id: str
    event: EventType
    status: int | None
    error: str | None
    duration_ms: float
    at: datetime
    next_at: datetime | None


class Webhooks:
    """A tenant's webhooks. One of another tenant raises NotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, tenant_id: str, url: str, events: Sequence[EventType]) -> NewWebhook:
        """Create a webhook. `url` must have been checked. Raises Conflict `too_many_webhooks`."""
        new = webhook.insert().values(
            id=new_id("wh"),
            tenant_id=tenant_id,
            url=url,
            events=sorted(set(events)),
            secret=(secret := _new_secret()),
            lease_until=0.0,
            attempts=0,
            created_at=Now(),
        )
        with self._database.write() as connection:
            connection.execute(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update(key_share=True))
            mine = select(func.count()).select_from(webhook).where(webhook.c.tenant_id == tenant_id)
            if connection.execute(mine).scalar_one() >= MAX_WEBHOOKS:
                rule = f"a tenant may have at most {MAX_WEBHOOKS} webhooks, got one more; delete one first"
                raise Conflict("too_many_webhooks", rule)
            return NewWebhook(_record(connection, connection.execute(new.returning(*webhook.c)).one()), secret)

    def get(self, tenant_id: str, webhook_id: str) -> WebhookRecord:
        """Return the webhook. Raises NotFound when it does not exist."""
        with self._database.read() as connection:
            return _record(connection, own_row(connection, webhook, tenant_id, webhook_id))

    def page(
        self, tenant_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[WebhookRecord], str | None]:
        """Return a page of webhooks, newest first, and the cursor of the next page, or None on the last page.

        Raises BadInput when the cursor is unknown.
        """
        with self._database.read() as connection:
            rows, next_cursor = page_of(connection, webhook, tenant_id, cursor, limit)
            return [_record(connection, row) for row in rows], next_cursor

    def rotate(self, tenant_id: str, webhook_id: str) -> NewWebhook:
        """Give the webhook a new secret. For a day, the earlier one signs too. Raises NotFound."""
        require_id(webhook_id, "webhook")
        mine = (webhook.c.id == webhook_id) & (webhook.c.tenant_id == tenant_id)
        secret = _new_secret()
        change = update(webhook).where(mine)
        change = change.values(secret=secret, earlier_secret=webhook.c.secret, earlier_until=Now() + ROTATION_S)
        with self._database.write() as connection:
            row = connection.execute(change.returning(*webhook.c)).first()
            if row is None:
                raise absent("webhook", webhook_id)
            return NewWebhook(_record(connection, row), secret)

    def delete(self, tenant_id: str, webhook_id: str) -> None:
        """Delete a webhook with what it has not sent. Raises NotFound when it does not exist."""
        with self._database.write() as connection:
            own_row(connection, webhook, tenant_id, webhook_id, lock=True)
            connection.execute(delete(webhook).where(webhook.c.id == webhook_id))

    def attempts(
        self, tenant_id: str, webhook_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[AttemptRecord], str | None]:
        """Return a page of attempts, newest first, and the cursor of the next page, or None on the last page.

        Raises NotFound when there is no such webhook, and BadInput when the cursor is unknown.
        """
        limit = min(max(limit, 1), MAX_PAGE)
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            rule = f"cursor must be a previous page's next_cursor, got {cursor[:80]!r}; start without one"
            raise BadInput("invalid_request", rule)
        query = (
            select(webhook_attempt, webhook_message.c.event)
            .join(webhook_message, webhook_message.c.id == webhook_attempt.c.message_id)
            .where(webhook_attempt.c.webhook_id == webhook_id)
            .order_by(webhook_attempt.c.n.desc())
            .limit(limit + 1)
        )
        if cursor is not None:
            query = query.where(webhook_attempt.c.n < int(cursor))
        with self._database.read() as connection:
            own_row(connection, webhook, tenant_id, webhook_id)
            rows = connection.execute(query).all()
        page = rows[:limit]
        return [_attempt(row) for row in page], str(page[-1].n) if len(rows) > limit else None

    def resend(self, tenant_id: str, webhook_id: str, n: int) -> str:
        """Send the message of attempt `n` again, now and by a new schedule. Returns the message's id.

        Raises NotFound when there is no such attempt, and Conflict `webhook_disabled`.
        """
        with self._database.write() as connection:
            hook = own_row(connection, webhook, tenant_id, webhook_id, lock=True)
            if hook.disabled_at is not None:
                rule = f"events are sent while the receiver wants them, and that of {webhook_id} answered 410 Gone"
                raise Conflict("webhook_disabled", f"{rule}; create a webhook anew")
            attempt = (webhook_attempt.c.webhook_id == webhook_id) & (webhook_attempt.c.n == n)
            of_attempt = select(webhook_attempt.c.message_id).where(attempt).scalar_subquery()
            again = update(webhook_message).where(webhook_message.c.id == of_attempt)
            again = again.values(due_at=Now() - NEW_FOR_S, tries=0)
            found = connection.execute(again.returning(webhook_message.c.id)).scalar()
            if found is None:
                raise absent("attempt", str(n))
            notify(connection, OUTBOX)
            return str(found)

    def sweep(self) -> int:
        """Delete messages that nothing sends any more, with their attempts. Returns how many."""
        off = select(webhook.c.id).where(webhook.c.disabled_at.is_not(None))
        message = webhook_message.c
        with self._database.write() as connection:
            # an event that was published while its webhook was disabled
            lost = message.due_at.is_not(None) & message.webhook_id.in_(off)
            connection.execute(update(webhook_message).where(lost).values(due_at=None))
            old = message.due_at.is_(None) & (message.created_at < Now() - KEPT_S)
            return connection.execute(delete(webhook_message).where(old)).rowcount


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _record(connection: Connection, row: Row[Any]) -> WebhookRecord:
    rotated = row.earlier_until
    if rotated is not None and rotated <= connection.execute(select(Now())).scalar_one():
        rotated = None
    return WebhookRecord(
        id=row.id,
        tenant=row.tenant_id,
        url=row.url,
        events=tuple(row.events),
        disabled_at=moment_or_none(row.disabled_at),
        rotated_until=moment_or_none(rotated),
        created_at=moment(row.created_at),
    )


def _attempt(row: Row[Any]) -> AttemptRecord:
    return AttemptRecord(
        n=row.n,
        message_id=row.message_id,
        event=row.event,
        status=row.status,
        error=row.error,
        duration_ms=row.duration_ms,
        at=moment(row.at),
        next_at=moment_or_none(row.next_at),
    )
