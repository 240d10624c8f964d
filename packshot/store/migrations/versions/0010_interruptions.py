"""How often a shot was interrupted, and how long outages have held it up.

Both columns may be NULL: an older version, which may still run beside this one, does not write them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shot", sa.Column("interruptions", sa.Integer(), nullable=True))
    op.add_column("shot", sa.Column("postponed_s", sa.Double(), nullable=True))
