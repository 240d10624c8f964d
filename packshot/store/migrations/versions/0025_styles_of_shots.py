"""The look of styles (palette, references, light, forbidden words), and which pictures are references.

The new columns may be NULL: code of an earlier version writes none, and sees nothing of them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None

ID = sa.String(length=80)
USERS = ("style", "shot", "catalogue")


def upgrade() -> None:
    op.add_column("style", sa.Column("forbidden_words", sa.JSON(), nullable=True))
    op.add_column("style", sa.Column("palette", sa.JSON(), nullable=True))
    op.add_column("style", sa.Column("references", sa.JSON(), nullable=True))
    op.add_column("style", sa.Column("light_deg", sa.Double(), nullable=True))
    op.create_table(
        "picture_use",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("picture_id", ID, nullable=False),
        sa.Column("style_id", ID, nullable=True),
        sa.Column("shot_id", ID, nullable=True),
        sa.Column("catalogue_id", ID, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_picture_use"),
        *(
            sa.ForeignKeyConstraint(
                [f"{user}_id"], [f"{user}.id"], name=f"fk_picture_use_{user}_id", ondelete="CASCADE"
            )
            for user in USERS
        ),
    )
    for column in ("picture_id", *(f"{user}_id" for user in USERS)):
        op.create_index(f"ix_picture_use_{column}", "picture_use", [column])
