"""Projects, styles, and the project of a photo and of a shot.

The two columns may be NULL: version 0.1.0, which may still run beside this one, does not write them. They have no
foreign key, because SQLite cannot add one to a table; packshot/store/projects.py clears them with their project.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.String(length=80)


def upgrade() -> None:
    op.create_table(
        "project",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_project"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_project_tenant_id"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_project_tenant_id_name"),
    )
    op.create_table(
        "style",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("negative_prompt", sa.Text(), nullable=False),
        sa.Column("shadow", sa.String(length=16), nullable=True),
        sa.Column("thumbnail_key", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_style"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name="fk_style_tenant_id"),
        sa.ForeignKeyConstraint(["thumbnail_key"], ["asset.key"], name="fk_style_thumbnail_key"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_style_tenant_id_name"),
    )
    op.add_column("photo", sa.Column("project_id", ID, nullable=True))
    op.add_column("shot", sa.Column("project_id", ID, nullable=True))
    op.create_index("ix_photo_project_id", "photo", ["project_id"])
    op.create_index("ix_shot_project_id_seq", "shot", ["project_id", "seq"])
