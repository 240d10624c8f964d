"""Usage by day, key and SKU, and budgets. Code of an earlier version writes neither, and checks no budget."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ID = sa.String(length=80)


def upgrade() -> None:
    op.add_column("shot", sa.Column("key_id", ID, nullable=True))
    for name, group in (("key_usage", sa.Column("key_id", ID)), ("sku_usage", sa.Column("sku", sa.String(100)))):
        op.create_table(
            name,
            sa.Column("tenant_id", ID, nullable=False),
            sa.Column("day", sa.Integer(), nullable=False),
            sa.Column(group.name, group.type, nullable=False),
            sa.Column("shots", sa.BigInteger(), nullable=False),
            sa.Column("pictures", sa.BigInteger(), nullable=False),
            sa.Column("device_s", sa.Double(), nullable=False),
            sa.PrimaryKeyConstraint("tenant_id", "day", group.name, name=f"pk_{name}"),
            sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=f"fk_{name}_tenant_id"),
        )
    op.create_table(
        "budget",
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("images_per_day", sa.BigInteger(), nullable=True),
        sa.Column("device_s_per_month", sa.Double(), nullable=True),
        sa.Column("live_shots", sa.BigInteger(), nullable=True),
        sa.Column("images_told", sa.Integer(), nullable=True),
        sa.Column("device_told", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("owner_id", name="pk_budget"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_budget_tenant_id"),
    )
    op.create_index("ix_budget_tenant_id", "budget", ["tenant_id"])
