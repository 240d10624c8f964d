"""Where a mask comes from, the mask it was made from, and the upload that holds its colours.

All three may be NULL: version 0.1.0, which may still run beside this one, does not write them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mask", sa.Column("source", sa.String(length=16), nullable=True))
    op.add_column("mask", sa.Column("parent_id", sa.String(length=80), nullable=True))
    op.add_column("mask", sa.Column("rgba_key", sa.String(length=200), nullable=True))
