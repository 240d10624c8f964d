"""The tables and the database's clock.

Times are seconds since 1970 (UTC) as doubles, so that leases and ageing are plain arithmetic in both dialects. A change
here needs a migration (packshot/store/migrations) and a new `REVISION`; a test compares the three.
"""

from __future__ import annotations

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
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from packshot.store import catalogue_tables, schema_files, schema_reviews, schema_trainings
from packshot.store.schema_base import ID, Now, metadata, tenant_column

__all__ = ["REVISION", "Now", "catalogue_tables", "metadata", "schema_files", "schema_reviews", "schema_trainings"]

REVISION = "0032"
"""The last migration. The migrations up to it make the tables below."""

NEVER = 1e12
"""A time that does not come, in seconds since 1970."""

ORIGIN = "origin"
"""A key in the column `shot.request`, beside the shot: the context of the request that the shot came with."""

# What is true of the database as a whole. `id` names it in the marker of its asset root.
store_state = Table(
    "store_state", metadata, Column("name", String(40), primary_key=True), Column("value", Text, nullable=False)
)

# Periodic work that one process does at a time: the one that moves `due_at` into the future.
duty = Table(
    "duty",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("due_at", Double, nullable=False),
    Column("page", Integer, nullable=False),  # where the next turn goes on
)

tenant = Table(
    "tenant",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("retention_days", Double),  # NULL = the value of the setting
    Column("weight", Double, nullable=False, server_default="1"),  # its share of the workers, relative to the others'
    Column("created_at", Double, nullable=False),
    Column("legal_hold", Text),  # why the tenant must not be deleted; NULL = it may be
    Column("require_approval", Boolean),  # whether its pictures leave only approved; NULL = no
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("prefix", String(16), nullable=False, unique=True),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("admin", Boolean),  # NULL = no
)

session = Table(
    "session",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of the token
    Column("key_id", ID, ForeignKey("api_key.id", ondelete="CASCADE"), nullable=False, index=True),
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

cluster = Table(
    "cluster",
    metadata,
    Column("id", ID, primary_key=True),
    Column("pack", String(200), nullable=False),  # of the only engine; of several, the names with commas between them
    Column("engines", Text),  # the names, with commas between them; NULL = code of before 0023, which has one engine
    Column("seen_at", Double, nullable=False),
    Column("active_at", Double),  # NULL = in standby
)

project = Table(
    "project",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("name", String(120), nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)

style = Table(
    "style",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("name", String(120), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("negative_prompt", Text, nullable=False),
    Column("shadow", String(16)),  # NULL = as the shot says
    Column("thumbnail_key", ForeignKey("asset.key")),
    Column("created_at", Double, nullable=False),
    # NULL in the next five = none, or code of an earlier version made the style
    Column("forbidden_words", JSON(none_as_null=True)),
    Column("palette", JSON(none_as_null=True)),
    Column("references", JSON(none_as_null=True)),  # {photo_id | image_id, weight} each, as a request has them
    Column("light_deg", Double),
    Column("adapters", JSON(none_as_null=True)),  # {id, scale} each
    UniqueConstraint("tenant_id", "name"),
)

# A LoRA or a textual inversion. Its file never changes.
adapter = Table(
    "adapter",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("name", String(120), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("engine", String(200), nullable=False),  # the pack that it was checked against
    Column("family", String(40), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("trigger", String(64), nullable=False),  # empty = none
    Column("licence", String(200), nullable=False),
    Column("trained_from", Text),  # NULL = not said
    Column("notes", JSON(none_as_null=True)),  # [code, detail] pairs; NULL = none
    Column("sha256", String(64), nullable=False),  # of the file
    Column("bytes", BigInteger, nullable=False),
    Column("asset_key", ForeignKey("asset.key"), nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)

photo = Table(
    "photo",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
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
    Column("project_id", ID, index=True),  # without a foreign key, which SQLite cannot add to a table
    UniqueConstraint("tenant_id", "sha256"),
    Index(None, "tenant_id", "created_at"),
)

mask = Table(
    "mask",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("photo_id", ID, ForeignKey("photo.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("score", Double, nullable=False),
    Column("area_px", BigInteger, nullable=False),
    Column("bbox_xyxy", JSON, nullable=False),
    Column("asset_key", ForeignKey("asset.key"), nullable=False),
    Column("source", String(16)),  # NULL = a replica of version 0.1.0 made the mask
    Column("parent_id", ID),  # the mask that this one was made from; it may have been deleted since
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
    Column("id", ID, nullable=False, unique=True),
    tenant_column(),
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
    Column("engine", String(64)),  # that it needs; NULL = none, or a replica of an earlier version accepted the shot
    Column("project_id", ID),  # without a foreign key, which SQLite cannot add to a table
    Column("key_id", ID),  # the key that it came with; NULL = none, or a replica of an earlier version
    Column("sku", String(100)),  # this and `meta` are the client's own words on the shot; nothing else reads them
    Column("meta", JSON(none_as_null=True)),
    Column("category", String(20)),  # one whose pictures a person must approve; NULL = none
    Column("supersedes", ID),  # the picture of which the shot makes the next version; it may have been deleted since
    Column("interruptions", Integer),  # NULL = none yet, as in the next one
    Column("postponed_s", Double),  # how long outages have held the shot up
    # What it is, if it is no shot but another kind of work on the same queue: NULL = a shot. `request` is the shot of
    # the picture that it works on, `job` says what it does, and `job_key` names an asset that it reads.
    Column("kind", String(16)),
    Column("job", JSON(none_as_null=True)),
    Column("job_key", String(200)),
    # Of another kind than a shot, and NULL for shots: when a worker may claim it. It is the end of the back-off of a
    # row that waits, and of the lease of one that runs. `due_at` of such a row is NEVER and `lease_until` is NULL, so
    # that code of before 0020, which does not know kinds, claims none of them.
    Column("ready_at", Double),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("created_at", Double, nullable=False),
    Column("claimed_at", Double, index=True),
    Column(
        "turn", Double
    ),  # of its last claim, for the fair share; NULL = none yet, or a replica of an earlier version
    Column("started_at", Double),
    Column("finished_at", Double),
    UniqueConstraint("tenant_id", "idempotency_key"),
    CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
    CheckConstraint("priority IN ('interactive', 'catalogue')", name="priority"),
    Index(None, "status", "seq"),
    Index(None, "tenant_id", "seq"),
    Index(None, "project_id", "seq"),
    Index(None, "tenant_id", "sku", "seq"),
    # Each tenant's waiting shots in the order of acceptance, so that a claim reads the heads of the lines only. The
    # included columns are what the queue's load sums.
    Index(
        "ix_shot_line",
        "tenant_id",
        "priority",
        "seq",
        postgresql_where=text("status = 'queued'"),
        sqlite_where=text("status = 'queued'"),
        postgresql_include=["images", "row_steps", "steps", "engine"],
    ),
    Index(  # the same lines by engine, for a claim that may not take every engine's shots
        "ix_shot_engine_line",
        "tenant_id",
        "priority",
        "engine",
        "seq",
        postgresql_where=text("status = 'queued'"),
        sqlite_where=text("status = 'queued'"),
    ),
    Index(  # when a tenant's catalogue shots were claimed, for ageing
        "ix_shot_catalogue_claimed",
        "tenant_id",
        "claimed_at",
        postgresql_where=text("priority = 'catalogue' AND claimed_at IS NOT NULL"),
        sqlite_where=text("priority = 'catalogue' AND claimed_at IS NOT NULL"),
    ),
    Index(  # whether a person's shot waits
        "ix_shot_people",
        "seq",
        postgresql_where=text("status = 'queued' AND priority = 'interactive'"),
        sqlite_where=text("status = 'queued' AND priority = 'interactive'"),
    ),
    Index(  # the turn of each line's last claim
        "ix_shot_line_turn",
        "tenant_id",
        "priority",
        "turn",
        postgresql_where=text("turn IS NOT NULL"),
        sqlite_where=text("turn IS NOT NULL"),
    ),
    # The turn of the last claim of a priority. Only a query that has this condition too can use the index. So a line's
    # own turn is never searched among all claims.
    Index(
        "ix_shot_turn",
        "priority",
        "turn",
        postgresql_where=text("turn >= 0"),
        sqlite_where=text("turn >= 0"),
    ),
)

# Values that one process computes for all of them (snapshots.py).
snapshot = Table(
    "snapshot",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("taken_at", Double, nullable=False),  # 0 = never
    Column("lease_until", Double, nullable=False),  # until then, one process computes the next value
)

shot_mask = Table(
    "shot_mask",
    metadata,
    Column("shot_id", ID, ForeignKey("shot.id", ondelete="CASCADE"), primary_key=True),
    Column("mask_id", ID, ForeignKey("mask.id", ondelete="CASCADE"), primary_key=True, index=True),
)

image = Table(
    "image",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("shot_id", ID, ForeignKey("shot.id", ondelete="CASCADE"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("asset_key", ForeignKey("asset.key"), nullable=False),
    Column("verdict", JSON, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("review", String(16)),  # approved, rejected (= changes_requested), or NULL
    Column("note", Text),
    Column("review_reason", String(32)),  # of `rejected`
    Column("review_number", Integer),  # the last decision's line in the log; NULL = none, so the picture is a draft
    Column("version", Integer),  # NULL = 1
    Column("supersedes", ID),  # the version before, without a foreign key: it may have been deleted since
    Column("superseded_by", ID),
    Column("text_state", String(16)),  # the worst finding about its text; NULL = its text was not read
    Column("gain_key", String(200)),  # an asset: the gain over a relit product; NULL = it is not relit
    Column("created_at", Double, nullable=False),
    UniqueConstraint("shot_id", "index"),
    Index(None, "asset_key"),  # the picture of a file in question
    Index(  # the versions that were made of a picture
        "ix_image_supersedes",
        "supersedes",
        postgresql_where=text("supersedes IS NOT NULL"),
        sqlite_where=text("supersedes IS NOT NULL"),
    ),
)

# Photos and images that are references of a style, a shot or a catalogue: one of the last three columns says of which.
picture_use = Table(
    "picture_use",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("picture_id", ID, nullable=False, index=True),
    Column("style_id", ID, ForeignKey("style.id", ondelete="CASCADE"), index=True),
    Column("shot_id", ID, ForeignKey("shot.id", ondelete="CASCADE"), index=True),
    Column("catalogue_id", ID, ForeignKey("catalogue.id", ondelete="CASCADE"), index=True),
)

# A photo that its client puts into the asset root itself. Its file is `uploads/{id}` until the photo is made of it.
upload = Table(
    "upload",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("token_sha256", String(64), nullable=False),  # of the token in this server's own upload URL
    Column("photo_id", ID),  # the photo that was made of it; it may have been deleted since
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)

# The receipt of a tenant's deletion. It is written when the deletion begins, so that one that died goes on.
deletion = Table(
    "deletion",
    metadata,
    Column("tenant_sha256", String(64), primary_key=True),
    Column("counts", JSON, nullable=False),
    Column("by", String(200), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
)
