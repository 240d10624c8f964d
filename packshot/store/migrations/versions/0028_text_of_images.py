"""What a picture's verdict says about the text of its product, so that the gate before channels need not read verdicts.

The column may be NULL: code of an earlier version writes none, and pictures of before were not read.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("image", sa.Column("text_state", sa.String(length=16), nullable=True))
