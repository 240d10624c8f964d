"""Sessions of browsers, and a hash of each shot's request as the client sent it.

`sent_sha256` may be NULL: an earlier version, which may still run beside this one, does not write it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "session",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=80), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_session_key_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_key_id"), "session", ["key_id"])
    op.create_index(op.f("ix_session_expires_at"), "session", ["expires_at"])
    op.add_column("shot", sa.Column("sent_sha256", sa.String(length=64), nullable=True))
