"""Trainings over the API, and the seconds that they took."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

ID = sa.String(length=80)
KEY = sa.String(length=200)


def upgrade() -> None:
    op.create_table(
        "training",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("engine", sa.String(length=200), nullable=False),
        sa.Column("tag", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("job", sa.JSON(), nullable=False),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("device_s", sa.Double(), nullable=False),
        sa.Column("max_s", sa.Double(), nullable=True),
        sa.Column("key_id", ID, nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("ended", sa.Text(), nullable=True),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_detail", sa.Text(), nullable=True),
        sa.Column("adapter_id", ID, nullable=True),
        sa.Column("sheet_key", KEY, nullable=True),
        sa.Column("loss_key", KEY, nullable=True),
        sa.Column("state_key", KEY, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_training"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_training_tenant_id"),
        *(
            sa.ForeignKeyConstraint([column], ["asset.key"], name=f"fk_training_{column}")
            for column in ("sheet_key", "loss_key", "state_key")
        ),
        sa.UniqueConstraint("tenant_id", "idempotency_key", name="uq_training_tenant_id_idempotency_key"),
    )
    op.create_index("ix_training_tenant_id_created_at", "training", ["tenant_id", "created_at"])
    op.create_index("ix_training_status", "training", ["status"])
    op.create_table(
        "training_usage",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("month", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "month", name="pk_training_usage"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_training_usage_tenant_id"),
    )
