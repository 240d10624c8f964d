"""The audit trail. Code of an earlier version writes no events, and changes no row of these tables."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

ID = sa.String(length=80)
UNCHAINED = sa.text("number IS NULL")


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("object_id", ID, nullable=False),
        sa.Column("request_id", sa.String(length=200), nullable=True),
        sa.Column("details", sa.JSON(), nullable=True),
        sa.Column("models", sa.JSON(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("previous_sha256", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_audit_event_tenant_id"),
        sa.UniqueConstraint("tenant_id", "number", name="uq_audit_event_tenant_id_number"),
    )
    op.create_index("ix_audit_event_tenant_id_object_id", "audit_event", ["tenant_id", "object_id"])
    op.create_index(
        "ix_audit_event_unchained",
        "audit_event",
        ["tenant_id", "id"],
        postgresql_where=UNCHAINED,
        sqlite_where=UNCHAINED,
    )
    op.create_table(
        "audit_chain",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("swept", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_audit_chain"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_audit_chain_tenant_id"),
    )
