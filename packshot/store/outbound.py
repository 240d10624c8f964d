"""The outbox as its senders see it: take a webhook under a lease, send what is due, and record each attempt.

One sender at a time has a webhook's lease, so that no attempt is made twice at once. A sender that dies leaves its
message due: it is sent again under the same id when the lease has run out. So a receiver gets each event at least once.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, func, select, update

from packshot.store.database import Database
from packshot.store.schema import Now
from packshot.store.schema_webhooks import webhook, webhook_attempt, webhook_message

RETRY_AFTER_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
"""Seconds from a failed attempt to the next: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h. The first is made at once."""

LEASE_S = 60.0
"""How long a sender has a webhook, in seconds. It makes its attempts at the same time, and each ends after 10 s."""

AT_ONCE = 4
"""Messages of one webhook that are sent at the same time."""

GONE = 410


@dataclass(frozen=True)
class Message:
    """An event to send. `tries` counts the attempts of the present schedule."""

    id: str
    body: str
    tries: int


@dataclass(frozen=True)
class Batch:
    """The messages of one webhook that are due, under a lease. Every one of `secrets` signs them."""

    webhook_id: str
    url: str
    secrets: tuple[str, ...]
    messages: tuple[Message, ...]


class Outbound:
    """The senders' view of the outbox. Calls may come from any number of processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self) -> Batch | None:
        """Take the webhook that was served longest ago, of those with due messages. None when nothing is due.

        The usual call finds nothing due, and reads one entry of an index.
        """
        due = webhook_message.c.due_at <= Now()
        with self._database.read() as connection:
            if connection.execute(select(webhook_message.c.id).where(due).limit(1)).first() is None:
                return None
        waits = select(webhook_message.c.id).where(webhook_message.c.webhook_id == webhook.c.id, due).exists()
        first = (
            select(webhook.c.id)
            .where(webhook.c.disabled_at.is_(None), ~_held(), waits)
            .order_by(webhook.c.lease_until, webhook.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        leased = update(webhook).where(webhook.c.id == first.scalar_subquery()).values(lease_until=Now() + LEASE_S)
        signs_too = case((webhook.c.earlier_until > Now(), webhook.c.earlier_secret), else_=None)
        columns = (webhook.c.id, webhook.c.url, webhook.c.secret, signs_too.label("earlier"))
        with self._database.write() as connection:
            row = connection.execute(leased.returning(*columns)).first()
            if row is None:
                return None
            mine = select(webhook_message).where(webhook_message.c.webhook_id == row.id, due)
            found = connection.execute(mine.order_by(webhook_message.c.due_at, webhook_message.c.id).limit(AT_ONCE))
            messages = tuple(Message(message.id, message.body, message.tries) for message in found)
        return Batch(row.id, row.url, tuple(filter(None, (row.secret, row.earlier))), messages)

    def record(
        self, batch: Batch, message: Message, *, status: int | None, error: str | None, duration_ms: float
    ) -> None:
        """Record an attempt. `status` is None when no answer came, and `error` is None when it was received.

        After a failure the message is due again by the schedule. 410 disables the webhook, and drops what it would get.
        """
        now, tries = Now(), message.tries
        waits_s = None if error is None or tries >= len(RETRY_AFTER_S) else RETRY_AFTER_S[tries]
        next_at = None if waits_s is None or status == GONE else now + waits_s
        counted = update(webhook).where(webhook.c.id == batch.webhook_id).values(attempts=webhook.c.attempts + 1)
        same_try = (webhook_message.c.id == message.id) & (webhook_message.c.tries == tries)
        done = update(webhook_message).where(same_try).values(tries=tries + 1, due_at=next_at)
        with self._database.write() as connection:
            n = connection.execute(counted.returning(webhook.c.attempts)).scalar()
            if n is None:
                return  # the webhook was deleted meanwhile
            row = connection.execute(done.returning(webhook_message.c.due_at, now.label("now"))).first()
            if row is None:
                return  # another sender has recorded it, after this one's lease
            connection.execute(
                webhook_attempt.insert().values(
                    webhook_id=batch.webhook_id,
                    n=n,
                    message_id=message.id,
                    status=status,
                    error=error,
                    duration_ms=duration_ms,
                    next_at=row.due_at,
                    at=row.now - duration_ms / 1000,
                )
            )
            if status == GONE:
                off = update(webhook).where(webhook.c.id == batch.webhook_id)
                connection.execute(off.values(disabled_at=func.coalesce(webhook.c.disabled_at, now)))
                dropped = update(webhook_message).where(webhook_message.c.webhook_id == batch.webhook_id)
                connection.execute(dropped.where(webhook_message.c.due_at.is_not(None)).values(due_at=None))

    def release(self, batch: Batch) -> None:
        """Give the lease back, so that the webhook's next messages can be sent."""
        with self._database.write() as connection:
            connection.execute(update(webhook).where(webhook.c.id == batch.webhook_id).values(lease_until=Now()))


def _held() -> ColumnElement[bool]:
    """Whether a sender has the webhook. One that ends later than a lease can was taken before a step back."""
    left_s = webhook.c.lease_until - Now()
    return and_(left_s > 0, left_s <= LEASE_S)
