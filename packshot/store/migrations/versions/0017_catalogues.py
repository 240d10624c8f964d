"""Catalogues: their rows, the photos that these name, and the shots and files that are made of them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogue",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("tenant_id", sa.String(length=80), nullable=False),
        sa.Column("key_id", sa.String(length=80), nullable=True),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("frame", sa.Text(), nullable=False),
        sa.Column("largest_mm", sa.Double(), nullable=True),
        sa.Column("pause_reason", sa.String(length=16), nullable=True),
        sa.Column("allowed_images", sa.BigInteger(), nullable=True),
        sa.Column("allowed_device_s", sa.Double(), nullable=True),
        sa.Column("spent_images", sa.BigInteger(), nullable=False),
        sa.Column("spent_device_s", sa.Double(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('draft', 'running', 'paused', 'done', 'cancelled')", name="ck_catalogue_state"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_catalogue_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_catalogue"),
    )
    op.create_index("ix_catalogue_tenant_id_created_at", "catalogue", ["tenant_id", "created_at"], unique=False)
    op.create_index(
        "ix_catalogue_working",
        "catalogue",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('running', 'paused')"),
        sqlite_where=sa.text("state IN ('running', 'paused')"),
    )
    op.create_table(
        "catalogue_photo",
        sa.Column("catalogue_id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("path", sa.String(length=1000), nullable=False),
        sa.Column("tenant_id", sa.String(length=80), nullable=False),
        sa.Column("photo_id", sa.String(length=80), nullable=True),
        sa.Column("asset_key", sa.String(length=200), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('photo', 'mask')", name="ck_catalogue_photo_kind"),
        sa.ForeignKeyConstraint(["asset_key"], ["asset.key"], name="fk_catalogue_photo_asset_key"),
        sa.ForeignKeyConstraint(
            ["catalogue_id"], ["catalogue.id"], name="fk_catalogue_photo_catalogue_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_catalogue_photo_tenant_id"),
        sa.PrimaryKeyConstraint("catalogue_id", "kind", "path", name="pk_catalogue_photo"),
    )
    op.create_table(
        "catalogue_row",
        sa.Column("catalogue_id", sa.String(length=80), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.String(length=80), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String(length=100), nullable=False),
        sa.Column("item", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("shots_left", sa.Integer(), nullable=False),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("row_steps", sa.BigInteger(), nullable=False),
        sa.Column("device_s", sa.Double(), nullable=False),
        sa.Column("masks", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed', 'skipped')", name="ck_catalogue_row_state"
        ),
        sa.ForeignKeyConstraint(
            ["catalogue_id"], ["catalogue.id"], name="fk_catalogue_row_catalogue_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_catalogue_row_tenant_id"),
        sa.PrimaryKeyConstraint("catalogue_id", "place", name="pk_catalogue_row"),
    )
    op.create_index(
        "ix_catalogue_row_catalogue_id_state_place", "catalogue_row", ["catalogue_id", "state", "place"], unique=False
    )
    op.create_index(
        "ix_catalogue_row_waiting",
        "catalogue_row",
        ["catalogue_id", "place"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        postgresql_include=["pictures", "row_steps", "device_s"],
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "catalogue_file",
        sa.Column("catalogue_id", sa.String(length=80), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.String(length=80), nullable=False),
        sa.Column("image_id", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("delivered_id", sa.String(length=80), nullable=True),
        sa.Column("to", sa.String(length=1000), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("name_key", sa.String(length=200), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'made', 'failed', 'held')", name="ck_catalogue_file_state"),
        sa.ForeignKeyConstraint(
            ["catalogue_id", "place"],
            ["catalogue_row.catalogue_id", "catalogue_row.place"],
            name="fk_catalogue_file_catalogue_id_place",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_catalogue_file_tenant_id"),
        sa.PrimaryKeyConstraint("catalogue_id", "place", "entry", "n", name="pk_catalogue_file"),
    )
    op.create_index(
        "ix_catalogue_file_catalogue_id_name_key", "catalogue_file", ["catalogue_id", "name_key"], unique=False
    )
    op.create_index(
        "ix_catalogue_file_held",
        "catalogue_file",
        ["image_id"],
        unique=False,
        postgresql_where=sa.text("state = 'held'"),
        sqlite_where=sa.text("state = 'held'"),
    )
    op.create_index(
        "ix_catalogue_file_waiting",
        "catalogue_file",
        ["catalogue_id", "place"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "catalogue_shot",
        sa.Column("catalogue_id", sa.String(length=80), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=80), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("view", sa.String(length=16), nullable=False),
        sa.Column("scene", sa.String(length=400), nullable=False),
        sa.Column("shot_id", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("image_id", sa.String(length=80), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('live', 'done', 'failed', 'cancelled')", name="ck_catalogue_shot_state"),
        sa.ForeignKeyConstraint(
            ["catalogue_id", "place"],
            ["catalogue_row.catalogue_id", "catalogue_row.place"],
            name="fk_catalogue_shot_catalogue_id_place",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_catalogue_shot_tenant_id"),
        sa.PrimaryKeyConstraint("catalogue_id", "place", "key", name="pk_catalogue_shot"),
    )
    op.create_index("ix_catalogue_shot_image_id", "catalogue_shot", ["image_id"], unique=False)
    op.create_index(
        "ix_catalogue_shot_live",
        "catalogue_shot",
        ["tenant_id", "catalogue_id", "place"],
        unique=False,
        postgresql_where=sa.text("state = 'live'"),
        sqlite_where=sa.text("state = 'live'"),
    )
