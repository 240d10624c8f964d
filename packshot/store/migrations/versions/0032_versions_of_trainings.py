"""A training's version, which counts its changes for event streams. Code of an earlier version leaves it as it is."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("training", sa.Column("version", sa.Integer(), nullable=True))
