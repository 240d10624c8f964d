"""Reviews: a log of decisions, versions of pictures, the gate of approval, and share links.

Code of an earlier version goes on running: it leaves the new columns NULL, and its decisions are in `review` as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ID = sa.String(length=80)


def upgrade() -> None:
    op.add_column("tenant", sa.Column("require_approval", sa.Boolean(), nullable=True))
    op.add_column("shot", sa.Column("category", sa.String(length=20), nullable=True))
    op.add_column("shot", sa.Column("supersedes", ID, nullable=True))
    op.add_column("image", sa.Column("review_reason", sa.String(length=32), nullable=True))
    op.add_column("image", sa.Column("review_number", sa.Integer(), nullable=True))
    op.add_column("image", sa.Column("version", sa.Integer(), nullable=True))
    op.add_column("image", sa.Column("supersedes", ID, nullable=True))
    op.add_column("image", sa.Column("superseded_by", ID, nullable=True))
    op.create_table(
        "image_review",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("marks", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reviewer", sa.String(length=80), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("image_id", "number", name="pk_image_review"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_image_review_image_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_image_review_tenant_id"),
    )
    op.create_table(
        "share_link",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("image_ids", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_share_link"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_share_link_tenant_id"),
        sa.UniqueConstraint("sha256", name="uq_share_link_sha256"),
    )
    op.create_index("ix_share_link_expires_at", "share_link", ["expires_at"])
    op.create_index("ix_share_link_tenant_id_created_at", "share_link", ["tenant_id", "created_at"])
