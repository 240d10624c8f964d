"""The tables of trainings over the API, and of the seconds that they took of a tenant's budget."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from packshot.store.schema_base import ID, metadata, tenant_column

# A training. `job` has its order: what to learn, and the ids and captions of its pictures. Workers claim it when
# `due_at` has come: of a queued one that is the end of a back-off, of a running one the end of its lease.
training = Table(
    "training",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("name", String(120), nullable=False),  # of the adapter that it makes
    Column("kind", String(16), nullable=False),
    Column("engine", String(200), nullable=False),
    Column("tag", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("job", JSON, nullable=False),
    Column("pictures", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("loss", Double),  # the mean of the last steps; NULL = none yet
    Column("device_s", Double, nullable=False),
    Column("max_s", Double),  # the most seconds of its device; NULL = the tenant's budget alone
    Column("key_id", ID),  # the key that it came with
    Column("idempotency_key", String(255)),
    Column("request_sha256", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),  # of the claim
    Column("attempt", Integer, nullable=False),  # claims since it last made progress
    Column("worker", String(200)),
    Column("due_at", Double, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("ended", Text),  # why it ended before its last step; NULL = it did not
    Column("partial", Boolean, nullable=False),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("adapter_id", ID),  # without a foreign key: it may have been deleted since
    Column("sheet_key", ForeignKey("asset.key")),  # the painted samples
    Column("loss_key", ForeignKey("asset.key")),  # the curves
    Column("state_key", ForeignKey("asset.key")),  # from which another worker resumes
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    # Counts its changes, for event streams: every update raises it. NULL = 0: code of an earlier version began it.
    Column("version", Integer, default=0, onupdate=text("coalesce(version, 0) + 1")),
    UniqueConstraint("tenant_id", "idempotency_key"),
    Index(None, "tenant_id", "created_at"),
    Index(None, "status"),
)

# The seconds of trainings in a month, which outlive the trainings. `month` is its first day, in days since 1970.
training_usage = Table(
    "training_usage",
    metadata,
    Column("tenant_id", ID, ForeignKey("tenant.id"), primary_key=True),
    Column("month", Integer, primary_key=True, autoincrement=False),
    Column("device_s", Double, nullable=False),
)
