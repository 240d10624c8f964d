"""Webhooks, the outbox of their events, and the attempts to send them. Code of an earlier version writes no event."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ID = sa.String(length=80)
WAITS = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(length=80), nullable=False),
        sa.Column("earlier_secret", sa.String(length=80), nullable=True),
        sa.Column("earlier_until", sa.Double(), nullable=True),
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_webhook_tenant_id"),
    )
    op.create_index("ix_webhook_tenant_id", "webhook", ["tenant_id"])
    op.create_table(
        "webhook_message",
        sa.Column("id", ID, nullable=False),
        sa.Column("webhook_id", ID, nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_message"),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhook.id"], name="fk_webhook_message_webhook_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_webhook_message_created_at", "webhook_message", ["created_at"])
    for name, columns in (
        ("ix_webhook_message_due", ["due_at"]),
        ("ix_webhook_message_line", ["webhook_id", "due_at"]),
    ):
        op.create_index(name, "webhook_message", columns, postgresql_where=WAITS, sqlite_where=WAITS)
    op.create_table(
        "webhook_attempt",
        sa.Column("webhook_id", ID, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("message_id", ID, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=200), nullable=True),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", "n", name="pk_webhook_attempt"),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhook.id"], name="fk_webhook_attempt_webhook_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["webhook_message.id"], name="fk_webhook_attempt_message_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_webhook_attempt_message_id", "webhook_attempt", ["message_id"])
