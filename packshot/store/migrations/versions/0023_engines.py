"""The engine of shots, catalogues and clusters, so that one cluster may serve several.

Code of an earlier version writes none: its shots may be claimed by any director, which reads the engine in the request.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shot", sa.Column("engine", sa.String(length=64), nullable=True))
    op.add_column("catalogue", sa.Column("engine", sa.String(length=64), nullable=True))
    op.add_column("cluster", sa.Column("engines", sa.Text(), nullable=True))
    queued = sa.text("status = 'queued'")
    columns = ["tenant_id", "priority", "engine", "seq"]
    op.create_index("ix_shot_engine_line", "shot", columns, postgresql_where=queued, sqlite_where=queued)
    if op.get_bind().dialect.name == "postgresql":  # the load of each engine is read in this index too
        op.drop_index("ix_shot_line", "shot")
        op.create_index(
            "ix_shot_line",
            "shot",
            ["tenant_id", "priority", "seq"],
            postgresql_include=["images", "row_steps", "steps", "engine"],
            postgresql_where=queued,
        )
