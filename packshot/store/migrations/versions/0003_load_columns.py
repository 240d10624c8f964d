"""The load of a shot in columns of its own, so that counting the queue's load reads no JSON.

Both may be NULL: version 0.1.0, which may still run beside this one, does not write them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shot", sa.Column("images", sa.Integer(), nullable=True))
    op.add_column("shot", sa.Column("row_steps", sa.BigInteger(), nullable=True))
    shot = sa.table(
        "shot",
        sa.column("status", sa.String()),
        sa.column("request", sa.JSON()),
        sa.column("images", sa.Integer()),
        sa.column("row_steps", sa.BigInteger()),
    )
    request = shot.c.request
    images = sa.func.coalesce(request["images"].as_integer(), 1)
    steps = sa.func.coalesce(request["steps"].as_integer(), 0)
    rows_per_step = sa.case((request["guidance_scale"].as_float() > 1, 2), else_=1)
    painted = sa.case((request["background"].as_string() != "generate", 0), else_=1)
    # Nothing counts the load of a shot that has ended, and the table is locked meanwhile: only live rows are filled.
    live = shot.c.status.in_(("queued", "running"))
    op.execute(sa.update(shot).where(live).values(images=images, row_steps=painted * images * steps * rows_per_step))
