"""What a client writes on its shots, and indexes for lists of photos and for shots of one SKU.

Both columns may be NULL: version 0.1.0, which may still run beside this one, does not write them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shot", sa.Column("sku", sa.String(length=100), nullable=True))
    op.add_column("shot", sa.Column("meta", sa.JSON(none_as_null=True), nullable=True))
    op.create_index("ix_shot_tenant_id_sku_seq", "shot", ["tenant_id", "sku", "seq"])
    op.create_index("ix_photo_tenant_id_created_at", "photo", ["tenant_id", "created_at"])
