"""The clusters that work on the database. Code of an earlier version writes none, and goes on claiming."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cluster",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("pack", sa.String(length=200), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("active_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_cluster"),
    )
