"""The tables of catalogues.

    catalogue ──< catalogue_row ──< catalogue_shot    the shots of a row, and the picture that was chosen of each
        │               └─────────< catalogue_file    the files that its channels get
        └──< catalogue_photo                          the photos and masks that rows name by a path

A row that waits is one small row here and nothing in the queue. Shots, images and delivered files are named by id,
without a foreign key: they may be deleted before the catalogue.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from packshot.store.schema_base import ID, metadata, tenant_column

catalogue = Table(
    "catalogue",
    metadata,
    Column("id", ID, primary_key=True),
    tenant_column(),
    Column("key_id", ID),  # of the key that made it, for budgets; it may have been deleted since
    Column("name", String(120), nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),  # grows with each change of the state
    Column("frame", Text, nullable=False),  # the manifest without its items, JSON
    Column("engine", String(64)),  # that the manifest names; NULL = the default one
    Column("largest_mm", Double),  # the largest true size of its products; NULL = none is known
    Column("pause_reason", String(16)),  # person or budget
    Column("allowed_images", BigInteger),  # NULL = no limit, as in the next one
    Column("allowed_device_s", Double),
    Column("spent_images", BigInteger, nullable=False),  # of all shots that were accepted
    Column("spent_device_s", Double, nullable=False),
    Column("worker", String(200)),  # the producer that works on it, until the lease ends
    Column("lease_until", Double),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    CheckConstraint("state IN ('draft', 'running', 'paused', 'done', 'cancelled')", name="state"),
    Index(None, "tenant_id", "created_at"),
    Index(
        "ix_catalogue_working",
        "id",
        postgresql_where=text("state IN ('running', 'paused')"),
        sqlite_where=text("state IN ('running', 'paused')"),
    ),
)

_CATALOGUE_ROW = ["catalogue_row.catalogue_id", "catalogue_row.place"]


def _catalogue() -> Column[str]:
    return Column("catalogue_id", ID, ForeignKey("catalogue.id", ondelete="CASCADE"), primary_key=True)


catalogue_row = Table(
    "catalogue_row",
    metadata,
    _catalogue(),
    Column("place", Integer, primary_key=True),  # in the manifest, from 0
    tenant_column(),
    Column("row", Integer, nullable=False),  # as the sheet numbers it
    Column("sku", String(100), nullable=False),
    Column("item", Text),  # the manifest's item, JSON; NULL = it could not be read
    Column("state", String(16), nullable=False),
    Column("code", String(64)),  # why it failed or was skipped, or a note of a row that is cut: several_found
    Column("detail", Text),
    Column("attempt", Integer, nullable=False),  # 1, and one more with each retry
    Column("shots_left", Integer, nullable=False),  # not accepted yet
    # The work of the whole row. The load of rows that wait is their sum.
    Column("pictures", Integer, nullable=False),
    Column("row_steps", BigInteger, nullable=False),
    Column("device_s", Double, nullable=False),
    Column("masks", JSON(none_as_null=True)),  # the mask id of each of its photos; NULL = not cut yet
    Column("ended_at", Double),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'skipped')", name="state"),
    Index(None, "catalogue_id", "state", "place"),
    Index(
        "ix_catalogue_row_waiting",
        "catalogue_id",
        "place",
        postgresql_where=text("state = 'waiting'"),
        sqlite_where=text("state = 'waiting'"),
        postgresql_include=["pictures", "row_steps", "device_s"],
    ),
)

catalogue_photo = Table(
    "catalogue_photo",
    metadata,
    _catalogue(),
    Column("kind", String(8), primary_key=True),  # photo or mask
    Column("path", String(1000), primary_key=True),
    tenant_column(),
    Column("photo_id", ID),  # of a photo that is there
    Column("asset_key", ForeignKey("asset.key")),  # of a mask that is there: the file as it was sent
    Column("code", String(64)),  # why its rows fail
    Column("detail", Text),
    CheckConstraint("kind IN ('photo', 'mask')", name="kind"),
)

catalogue_shot = Table(
    "catalogue_shot",
    metadata,
    Column("catalogue_id", ID, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("key", String(64), primary_key=True),  # of SKU, axis values, canvas, look and view
    tenant_column(),
    Column("nth", Integer, nullable=False),  # among the row's shots, from 0
    Column("view", String(16), nullable=False),
    Column("scene", String(400), nullable=False),  # for people; "" = a plain background
    Column("shot_id", ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("image_id", ID),  # the picture that was chosen
    Column("code", String(64)),
    Column("detail", Text),
    ForeignKeyConstraint(["catalogue_id", "place"], _CATALOGUE_ROW, ondelete="CASCADE"),
    CheckConstraint("state IN ('live', 'done', 'failed', 'cancelled')", name="state"),
    Index(None, "image_id"),
    Index(
        "ix_catalogue_shot_live",
        "tenant_id",
        "catalogue_id",
        "place",
        postgresql_where=text("state = 'live'"),
        sqlite_where=text("state = 'live'"),
    ),
)

catalogue_file = Table(
    "catalogue_file",
    metadata,
    Column("catalogue_id", ID, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("entry", Integer, primary_key=True),  # the place of its `deliver` entry
    Column("n", Integer, primary_key=True),  # among the files of its row and entry, from 1
    tenant_column(),
    Column("image_id", ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("delivered_id", ID),
    Column("to", String(1000)),  # NULL = the archive
    Column("name", String(200)),
    Column("name_key", String(200)),  # by which two names collide
    Column("code", String(64)),
    Column("detail", Text),
    ForeignKeyConstraint(["catalogue_id", "place"], _CATALOGUE_ROW, ondelete="CASCADE"),
    CheckConstraint("state IN ('waiting', 'made', 'failed', 'held')", name="state"),
    Index(
        "ix_catalogue_file_waiting",
        "catalogue_id",
        "place",
        postgresql_where=text("state = 'waiting'"),
        sqlite_where=text("state = 'waiting'"),
    ),
    Index(
        "ix_catalogue_file_held",
        "image_id",
        postgresql_where=text("state = 'held'"),
        sqlite_where=text("state = 'held'"),
    ),
    Index(None, "catalogue_id", "name_key"),
)
