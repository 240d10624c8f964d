"""Clips of finished pictures. `Queue.commit` writes each together with the end of its row of the queue."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from packshot.store.audit_rows import SYSTEM, Details, record
from packshot.store.clip_records import ClipRecord, NewClip
from packshot.store.database import Database, absent, moment, new_id, require_id
from packshot.store.references import WrittenFile
from packshot.store.schema import Now, image
from packshot.store.schema_files import clip


class Clips:
    """A tenant's clips. They are deleted with their picture, and with the work that made them.

    A clip of another tenant raises NotFound.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, tenant_id: str, clip_id: str) -> ClipRecord:
        """Return the clip's record. Raises NotFound when it does not exist."""
        require_id(clip_id, "clip")
        own = select(clip).where(clip.c.id == clip_id, clip.c.tenant_id == tenant_id)
        with self._database.read() as connection:
            row = connection.execute(own).first()
        if row is None:
            raise absent("clip", clip_id)
        return _record(row)


def insert_clip(connection: Connection, tenant_id: str, shot_id: str, new: NewClip, file: WrittenFile) -> None:
    """Insert the clip that a row of the queue made. The caller takes the reference to its file.

    Raises NotFound when the picture was deleted meanwhile.
    """
    own = (image.c.id == new.job.image_id) & (image.c.tenant_id == tenant_id)
    if connection.execute(select(image.c.id).where(own).with_for_update(read=True)).first() is None:
        raise absent("image", new.job.image_id)
    values = {
        "id": new_id("cl"),
        "tenant_id": tenant_id,
        "image_id": new.job.image_id,
        "shot_id": shot_id,
        "asset_key": file.key,
        "format": new.job.format,
        "move": new.job.move,
        "seconds": new.job.seconds,
        "fps": new.job.fps,
        "width": new.width,
        "height": new.height,
        "bytes": len(new.data),
        "sha256": hashlib.sha256(new.data).hexdigest(),
        "created_at": Now(),
    }
    clip_id = connection.execute(clip.insert().values(**values).returning(clip.c.id)).scalar_one()
    details: Details = {"image_id": new.job.image_id, "shot_id": shot_id, "sha256": str(values["sha256"])}
    record(connection, tenant_id, "clip.made", clip_id, details=details, by=SYSTEM)


def clips_of(connection: Connection, shot_ids: Sequence[str]) -> dict[str, ClipRecord]:
    """The clips that these rows of the queue made, by the row's id."""
    if not shot_ids:
        return {}
    rows = connection.execute(select(clip).where(clip.c.shot_id.in_(shot_ids)))
    return {row.shot_id: _record(row) for row in rows}


def clip_keys_of(connection: Connection, shot_ids: Sequence[str]) -> list[str]:
    """The keys of the clips that go with these rows: those they made, and those of their pictures."""
    pictures = select(image.c.id).where(image.c.shot_id.in_(shot_ids))
    mine = or_(clip.c.shot_id.in_(shot_ids), clip.c.image_id.in_(pictures))
    return list(connection.execute(select(clip.c.asset_key).where(mine)).scalars())


def _record(row: Row[Any]) -> ClipRecord:
    return ClipRecord(
        id=row.id,
        tenant=row.tenant_id,
        image_id=row.image_id,
        shot_id=row.shot_id,
        asset_key=row.asset_key,
        format=row.format,
        move=row.move,
        seconds=row.seconds,
        fps=row.fps,
        width=row.width,
        height=row.height,
        bytes=row.bytes,
        sha256=row.sha256,
        created_at=moment(row.created_at),
    )
