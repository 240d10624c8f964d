"""Photos: what clients uploaded. A photo is deleted with all its masks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from packshot.errors import Unavailable
from packshot.store.database import Database, absent, insert, moment, new_id, require_id
from packshot.store.masks import lock_masks_of, refuse_live
from packshot.store.records import PhotoRecord
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, mask, photo

RACES = 50
"""Tries of an upload whose photo is deleted by another at the same moment; each lost try is the other's progress."""


class Photos:
    """The uploaded photos. Another tenant's photos do not exist (NotFound)."""

    def __init__(self, database: Database, references: AssetReferences) -> None:
        self._database = database
        self._references = references

    def add(
        self, tenant_id: str, *, png: bytes, width: int, height: int, format: str, bytes: int, sha256: str
    ) -> PhotoRecord:
        """Keep an upload; the same bytes again give the same photo.

        `png`: the normalised photo. `format`, `bytes`, `sha256`: the upload's own. Raises StorageFull.
        """
        (file,) = self._references.write_files([png])
        ours = (photo.c.tenant_id == tenant_id) & (photo.c.sha256 == sha256)
        for _ in range(RACES):  # the photo that was there may be deleted just before we touch it
            with self._database.write() as connection:
                again = update(photo).where(ours).values(used_at=Now()).returning(*photo.c)
                row = connection.execute(again).first()
                if row is not None:
                    return _photo_record(row)
                new = insert(connection, photo).values(
                    id=new_id("ph"),
                    tenant_id=tenant_id,
                    width=width,
                    height=height,
                    format=format,
                    bytes=bytes,
                    sha256=sha256,
                    asset_key=file.key,
                    created_at=Now(),
                    used_at=Now(),
                )
                row = connection.execute(new.on_conflict_do_nothing().returning(*photo.c)).first()
                if row is not None:
                    self._references.take(connection, [file])
                    return _photo_record(row)
        raise Unavailable("not_ready", "the same photo is being added and deleted at once; try again")

    def get(self, tenant_id: str, photo_id: str) -> PhotoRecord:
        """The photo. Raises NotFound."""
        require_id(photo_id, "photo")
        with self._database.read() as connection:
            row = connection.execute(
                select(photo).where(photo.c.id == photo_id, photo.c.tenant_id == tenant_id)
            ).first()
        if row is None:
            raise absent("photo", photo_id)
        return _photo_record(row)

    def delete(self, tenant_id: str, photo_id: str) -> None:
        """Delete a photo and its masks. Raises NotFound; Conflict `in_use` while a live shot needs it."""
        require_id(photo_id, "photo")
        with self._database.write() as connection:
            locked = select(photo.c.id).where(photo.c.id == photo_id, photo.c.tenant_id == tenant_id).with_for_update()
            if connection.execute(locked).first() is None:
                raise absent("photo", photo_id)
            refuse_live(connection, lock_masks_of(connection, photo_id), f"photo {photo_id}")
            keys = self.delete_locked(connection, photo_id)
        self._references.purge(keys)

    def delete_locked(self, connection: Connection, photo_id: str) -> list[str]:
        """Delete a photo and its masks, all locked by the caller; returns the asset keys to purge after the commit."""
        of_masks = select(mask.c.asset_key).where(mask.c.photo_id == photo_id)
        keys = list(connection.execute(of_masks).scalars())
        connection.execute(delete(mask).where(mask.c.photo_id == photo_id))
        gone = delete(photo).where(photo.c.id == photo_id).returning(photo.c.asset_key)
        keys.append(connection.execute(gone).scalar_one())
        self._references.drop(connection, keys)
        return keys


def _photo_record(row: Row[Any]) -> PhotoRecord:
    return PhotoRecord(
        id=row.id,
        tenant=row.tenant_id,
        width=row.width,
        height=row.height,
        format=row.format,
        bytes=row.bytes,
        sha256=row.sha256,
        asset_key=row.asset_key,
        created_at=moment(row.created_at),
    )
