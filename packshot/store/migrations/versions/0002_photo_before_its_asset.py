"""A photo's row may be written before its asset's: the reference is looked at when the transaction ends."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite has one writer and defers by a pragma (packshot/store/database.py): no table is rebuilt for it.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE photo ALTER CONSTRAINT fk_photo_asset_key DEFERRABLE INITIALLY DEFERRED")
