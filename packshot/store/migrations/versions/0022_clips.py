"""Clips of finished pictures."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

ID = sa.String(length=80)


def upgrade() -> None:
    op.create_table(
        "clip",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("shot_id", ID, nullable=False),
        sa.Column("asset_key", sa.String(length=200), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("move", sa.String(length=16), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("fps", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clip"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_clip_tenant_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_clip_image_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["shot_id"], ["shot.id"], name="fk_clip_shot_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["asset_key"], ["asset.key"], name="fk_clip_asset_key"),
        sa.UniqueConstraint("shot_id", name="uq_clip_shot_id"),
    )
    op.create_index("ix_clip_image_id", "clip", ["image_id"])
