"""Other kinds of work than shots on the same queue, and an index of the versions of a picture.

Code of an earlier version neither claims nor counts rows of another kind: see `ready_at` in packshot/store/schema.py.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shot", sa.Column("kind", sa.String(length=16), nullable=True))
    op.add_column("shot", sa.Column("job", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("shot", sa.Column("job_key", sa.String(length=200), nullable=True))
    op.add_column("shot", sa.Column("ready_at", sa.Double(), nullable=True))
    made_of = sa.text("supersedes IS NOT NULL")
    op.create_index("ix_image_supersedes", "image", ["supersedes"], postgresql_where=made_of, sqlite_where=made_of)
