"""Fingerprints of pictures and delivered files, and the look-up of a file by the hash of its bytes.

The fingerprints of what exists are made later, a few at a time (packshot/shots/fingerprinting.py).
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

ID = sa.String(length=80)


def upgrade() -> None:
    op.create_table(
        "fingerprint",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("file_id", ID, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=True),
        sa.Column("sketch", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_fingerprint"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_fingerprint_tenant_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_fingerprint_image_id", ondelete="CASCADE"),
        sa.UniqueConstraint("file_id", name="uq_fingerprint_file_id"),
    )
    op.create_index("ix_fingerprint_image_id", "fingerprint", ["image_id"])
    op.create_index("ix_image_asset_key", "image", ["asset_key"])
    op.create_index("ix_delivered_file_sha256", "delivered_file", ["sha256"])
