"""Adapters of tenants, and the adapters of styles.

The new column may be NULL: code of an earlier version writes none, and sees nothing of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

ID = sa.String(length=80)


def upgrade() -> None:
    op.add_column("style", sa.Column("adapters", sa.JSON(), nullable=True))
    op.create_table(
        "adapter",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("engine", sa.String(length=200), nullable=False),
        sa.Column("family", sa.String(length=40), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.String(length=64), nullable=False),
        sa.Column("licence", sa.String(length=200), nullable=False),
        sa.Column("trained_from", sa.Text(), nullable=True),
        sa.Column("notes", sa.JSON(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("asset_key", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_adapter"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_adapter_tenant_id_name"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_adapter_tenant_id"),
        sa.ForeignKeyConstraint(["asset_key"], ["asset.key"], name="fk_adapter_asset_key"),
    )
