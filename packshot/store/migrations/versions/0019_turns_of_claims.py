"""The turn of a shot's last claim, for the fair share of tenants; and an index of the shots that people wait for.

Code of an earlier version reads and writes no turn.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shot", sa.Column("turn", sa.Double(), nullable=True))
    people = sa.text("status = 'queued' AND priority = 'interactive'")
    for name, columns, rows in (
        ("ix_shot_people", ["seq"], people),
        ("ix_shot_line_turn", ["tenant_id", "priority", "turn"], sa.text("turn IS NOT NULL")),
        ("ix_shot_turn", ["priority", "turn"], sa.text("turn >= 0")),
    ):
        op.create_index(name, "shot", columns, postgresql_where=rows, sqlite_where=rows)
