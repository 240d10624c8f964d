"""What the decoder assumed, dropped or changed in an upload.

It may be NULL: version 0.1.0, which may still run beside this one, does not write it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("photo", sa.Column("notes", sa.JSON(), nullable=True))
