"""The gain file of an image whose product is relit. Code of an earlier version relights nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("image", sa.Column("gain_key", sa.String(length=200), nullable=True))
