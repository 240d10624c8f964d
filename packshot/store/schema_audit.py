"""The tables of the audit trail: its events, and the chain that makes a change of them evident."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from packshot.store.schema_base import ID, metadata, tenant_column

# Rows are only added, by the transaction of what they record. `number` and `previous_sha256` are set once, later: so
# that writers of one tenant do not wait for each other.
audit_event = Table(
    "audit_event",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    tenant_column(),
    Column("at", Double, nullable=False),
    Column("by", String(100), nullable=False),
    Column("action", String(40), nullable=False),
    Column("object_id", ID, nullable=False),
    Column("request_id", String(200)),
    Column("details", JSON(none_as_null=True)),
    Column("models", JSON(none_as_null=True)),
    Column("number", BigInteger),  # its place in its tenant's chain; NULL = not chained yet
    Column("previous_sha256", String(64)),  # of the line before
    UniqueConstraint("tenant_id", "number"),
    Index(None, "tenant_id", "object_id"),
    Index(  # what is to be chained
        "ix_audit_event_unchained",
        "tenant_id",
        "id",
        postgresql_where=text("number IS NULL"),
        sqlite_where=text("number IS NULL"),
    ),
)

# The last link of each tenant's chain, and the last one that was deleted at the end of its time.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenant.id"), primary_key=True),
    Column("number", BigInteger, nullable=False),  # of the last line; 0 = none yet
    Column("sha256", String(64), nullable=False),  # of that line
    Column("swept", BigInteger, nullable=False),  # the lines up to this number were deleted
)
