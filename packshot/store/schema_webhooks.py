"""The tables of webhooks: where a tenant's events go, the outbox of events, and the attempts to send them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, ForeignKey, ForeignKeyConstraint, Index, Integer, String, Table, Text, text

from packshot.store.schema import metadata

_ID = String(80)

webhook = Table(
    "webhook",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("tenant_id", _ID, ForeignKey("tenant.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),  # the types of events that it gets
    Column("secret", String(80), nullable=False),  # it signs, so that no hash of it would do
    Column("earlier_secret", String(80)),  # signs too, until `earlier_until`
    Column("earlier_until", Double),
    Column("disabled_at", Double),  # its receiver answered 410
    Column("lease_until", Double, nullable=False),  # until then, one sender sends its messages
    Column("attempts", Integer, nullable=False),  # the number of the last attempt
    Column("created_at", Double, nullable=False),
)

# The outbox. A message is written in the transaction of the state that it reports, once for each webhook that gets it.
webhook_message = Table(
    "webhook_message",
    metadata,
    Column("id", _ID, primary_key=True),  # the `webhook-id` of every attempt
    Column("webhook_id", _ID, ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
    Column("event", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("tries", Integer, nullable=False),  # attempts of the present schedule; a resend begins anew
    Column("due_at", Double),  # when it is sent next; NULL = it was received, or is given up
    Column("created_at", Double, nullable=False, index=True),
    Index(
        "ix_webhook_message_due",
        "due_at",
        postgresql_where=text("due_at IS NOT NULL"),
        sqlite_where=text("due_at IS NOT NULL"),
    ),
    Index(
        "ix_webhook_message_line",
        "webhook_id",
        "due_at",
        postgresql_where=text("due_at IS NOT NULL"),
        sqlite_where=text("due_at IS NOT NULL"),
    ),
)

webhook_attempt = Table(
    "webhook_attempt",
    metadata,
    Column("webhook_id", _ID, ForeignKey("webhook.id", ondelete="CASCADE"), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("message_id", _ID, nullable=False),
    Column("status", Integer),  # NULL = no answer came
    Column("error", String(200)),  # NULL = it was received
    Column("duration_ms", Double, nullable=False),
    Column("next_at", Double),
    Column("at", Double, nullable=False),
    ForeignKeyConstraint(["message_id"], ["webhook_message.id"], ondelete="CASCADE"),
    Index(None, "message_id"),
)
