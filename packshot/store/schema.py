"""The tables and the database's clock.

Times are seconds since 1970 (UTC) as doubles, so that leases and ageing are plain arithmetic in both dialects. A change
here needs a migration (packshot/store/migrations) and a new `REVISION`; a test compares the three.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

REVISION = "0012"
"""The last migration. The migrations up to it make the tables below."""


class Now(FunctionElement[float]):
    """The database's clock in seconds since 1970. It is the present time, not the transaction's start."""

    type = Double()
    inherit_cache = True


@compiles(Now, "sqlite")
def _now_sqlite(element: Now, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def _now_postgresql(element: Now, compiler: Any, **options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ID = String(80)


def _tenant() -> Column[str]:
    return Column("tenant_id", _ID, ForeignKey("tenant.id"), nullable=False)


tenant = Table(
    "tenant",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("retention_days", Double),  # NULL = the value of the setting
    Column("created_at", Double, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("prefix", String(16), nullable=False, unique=True),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
)

session = Table(
    "session",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of the token
    Column("key_id", _ID, ForeignKey("api_key.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at", Double, nullable=False, index=True),
)

# The files of photos, masks, cutouts, images and styles. A row with refs = 0 is a file that will be deleted. A cutout's
# row is made with its mask, before the file; its `bytes` are 0.
asset = Table(
    "asset",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("refs", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "refs"),
)

project = Table(
    "project",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("name", String(120), nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)

style = Table(
    "style",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("name", String(120), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("negative_prompt", Text, nullable=False),
    Column("shadow", String(16)),  # NULL = as the shot says
    Column("thumbnail_key", ForeignKey("asset.key")),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)

photo = Table(
    "photo",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("format", String(16), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    # Deferred, so that an upload locks the photo before the asset, in the same order as a deletion.
    Column("asset_key", ForeignKey("asset.key", deferrable=True, initially="DEFERRED"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),  # last upload or mask: retention counts from here
    Column("notes", JSON(none_as_null=True)),  # [code, detail] pairs; NULL = a replica of version 0.1.0 took the photo
    Column("project_id", _ID, index=True),  # without a foreign key, which SQLite cannot add to a table
    UniqueConstraint("tenant_id", "sha256"),
    Index(None, "tenant_id", "created_at"),
)

mask = Table(
    "mask",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("photo_id", _ID, ForeignKey("photo.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("score", Double, nullable=False),
    Column("area_px", BigInteger, nullable=False),
    Column("bbox_xyxy", JSON, nullable=False),
    Column("asset_key", ForeignKey("asset.key"), nullable=False),
    Column("source", String(16)),  # NULL = a replica of version 0.1.0 made the mask
    Column("parent_id", _ID),  # the mask that this one was made from; it may have been deleted since
    Column("rgba_key", String(200)),  # an asset: the upload with its own alpha; NULL = the photo has the colours
    # NULL in the next three = a replica of version 0.1.0 made the mask; it is cut as there
    Column("lock_px", Integer),
    Column("cutout_bbox_xyxy", JSON(none_as_null=True)),
    Column("cutout_key", String(200)),  # an asset: the cutout, which is written when it is first needed
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, index=True),  # NULL = a shot has used it, or it is the upload's own alpha
)

shot = Table(
    "shot",
    metadata,
    # The order of acceptance, unlike `created_at` without ties.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", _ID, nullable=False, unique=True),
    _tenant(),
    Column("status", String(16), nullable=False),
    Column("priority", String(16), nullable=False),
    Column("request", JSON, nullable=False),
    Column("request_sha256", String(64), nullable=False),  # of `request` and the labels
    Column("sent_sha256", String(64)),  # of the body that the client sent; NULL = a replica of an earlier version
    Column("idempotency_key", String(255)),
    Column("attempt", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),  # the fence: each claim raises it
    Column("worker", String(200)),
    Column("lease_until", Double),
    Column("due_at", Double, nullable=False),  # not claimed before this time (back-off)
    Column("cancel_requested", Boolean, nullable=False),
    Column("step", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("preview_version", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    # The shot's load, in these two columns. NULL = a replica of version 0.1.0 accepted the shot during an upgrade.
    Column("images", Integer),
    Column("row_steps", BigInteger),
    Column("project_id", _ID),  # without a foreign key, which SQLite cannot add to a table
    Column("sku", String(100)),  # this and `meta` are the client's own words on the shot; nothing else reads them
    Column("meta", JSON(none_as_null=True)),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("created_at", Double, nullable=False),
    Column("claimed_at", Double, index=True),
    Column("started_at", Double),
    Column("finished_at", Double),
    UniqueConstraint("tenant_id", "idempotency_key"),
    CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
    CheckConstraint("priority IN ('interactive', 'catalogue')", name="priority"),
    Index(None, "status", "seq"),
    Index(None, "tenant_id", "seq"),
    Index(None, "project_id", "seq"),
    Index(None, "tenant_id", "sku", "seq"),
)

shot_mask = Table(
    "shot_mask",
    metadata,
    Column("shot_id", _ID, ForeignKey("shot.id", ondelete="CASCADE"), primary_key=True),
    Column("mask_id", _ID, ForeignKey("mask.id", ondelete="CASCADE"), primary_key=True, index=True),
)

image = Table(
    "image",
    metadata,
    Column("id", _ID, primary_key=True),
    _tenant(),
    Column("shot_id", _ID, ForeignKey("shot.id", ondelete="CASCADE"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("asset_key", ForeignKey("asset.key"), nullable=False),
    Column("verdict", JSON, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("review", String(16)),
    Column("note", Text),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("shot_id", "index"),
)
