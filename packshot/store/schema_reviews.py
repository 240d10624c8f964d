"""The tables of reviews: the log of decisions and comments, and the links that show pictures to visitors."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from packshot.store.schema_base import ID, metadata, tenant_column

# The log of a picture's reviews. Lines are only added, and go with the picture.
image_review = Table(
    "image_review",
    metadata,
    Column("image_id", ID, ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    tenant_column(),
    Column("state", String(20)),  # NULL = a comment, which decides nothing
    Column("reason", String(32)),
    Column("note", Text),
    Column("marks", JSON, nullable=False),
    Column("by", String(200), nullable=False),
    Column("reviewer", String(80)),
    Column("created_at", Double, nullable=False),
)

# A link under which people without a key see some pictures and comment on them.
share_link = Table(
    "share_link",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("sha256", String(64), nullable=False, unique=True),  # of the token
    Column("name", String(80), nullable=False),
    Column("image_ids", JSON, nullable=False),
    Column("by", String(200), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    Column("revoked_at", Double),
    Index(None, "tenant_id", "created_at"),
)
