"""How far a mask's border may be wrong, where its cutout lies in the photo, and the asset that keeps the cutout.

All three may be NULL: version 0.1.0, which may still run beside this one, does not write them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mask", sa.Column("lock_px", sa.Integer(), nullable=True))
    op.add_column("mask", sa.Column("cutout_bbox_xyxy", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("mask", sa.Column("cutout_key", sa.String(length=200), nullable=True))
