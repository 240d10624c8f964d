"""The watermark of a delivered file, its id in its C2PA manifest, and the key that signed it.

The new columns may be NULL: code of an earlier version writes none, and its files have none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivered_file", sa.Column("mark", sa.BigInteger(), nullable=True))
    op.add_column("delivered_file", sa.Column("instance_id", sa.String(length=60), nullable=True))
    op.add_column("delivered_file", sa.Column("signed_by", sa.String(length=80), nullable=True))
    for column in ("mark", "instance_id"):
        op.create_index(f"ix_delivered_file_{column}", "delivered_file", [column])
