"""A long queue: indexes for each tenant's line, a tenant's weight, and snapshots that one process takes for all.

Code of an earlier version goes on running: it writes no weight, so the default holds, and it reads none of the rest.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenant", sa.Column("weight", sa.Double(), server_default="1", nullable=False))
    queued, claimed = sa.text("status = 'queued'"), sa.text("priority = 'catalogue' AND claimed_at IS NOT NULL")
    op.create_index(
        "ix_shot_line",
        "shot",
        ["tenant_id", "priority", "seq"],
        postgresql_where=queued,
        sqlite_where=queued,
        postgresql_include=["images", "row_steps", "steps"],
    )
    op.create_index(
        "ix_shot_catalogue_claimed",
        "shot",
        ["tenant_id", "claimed_at"],
        postgresql_where=claimed,
        sqlite_where=claimed,
    )
    op.create_table(
        "snapshot",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("taken_at", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_snapshot"),
    )
