"""Delivered files: each is made once for a picture, a preset and its options, and is served again byte for byte."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ID = sa.String(length=80)


def upgrade() -> None:
    op.create_table(
        "delivered_file",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("preset", sa.String(length=80), nullable=False),
        sa.Column("recipe", sa.String(length=200), nullable=False),
        sa.Column("asset_key", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=40), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("source_type", sa.String(length=200), nullable=True),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_delivered_file"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_delivered_file_tenant_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_delivered_file_image_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["asset_key"], ["asset.key"], name="fk_delivered_file_asset_key"),
        sa.UniqueConstraint("image_id", "recipe", name="uq_delivered_file_image_id_recipe"),
    )
