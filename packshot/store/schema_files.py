"""The tables of what is made of a finished picture: files for channels, and clips."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from packshot.store.schema_base import ID, metadata, tenant_column

# A file that was made of an image for a channel. `recipe` names the preset, the date of its rules and the options, so
# that the same request finds the same file. An index for the image's deletion is the unique constraint's.
delivered_file = Table(
    "delivered_file",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("image_id", ID, ForeignKey("image.id", ondelete="CASCADE"), nullable=False),
    Column("preset", String(80), nullable=False),
    Column("recipe", String(200), nullable=False),
    Column("asset_key", ForeignKey("asset.key"), nullable=False),
    Column("media_type", String(40), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("source_type", String(200)),
    Column("changes", JSON, nullable=False),
    Column("findings", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("mark", BigInteger, index=True),
    Column("instance_id", String(60), index=True),
    Column("signed_by", String(80)),
    UniqueConstraint("image_id", "recipe"),
)

# A clip that was made of an image by a row of `shot`. It goes with either of them.
clip = Table(
    "clip",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("image_id", ID, ForeignKey("image.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("shot_id", ID, ForeignKey("shot.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("asset_key", ForeignKey("asset.key"), nullable=False),
    Column("format", String(16), nullable=False),
    Column("move", String(16), nullable=False),
    Column("seconds", Double, nullable=False),
    Column("fps", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
)
