"""The photos that clients uploaded. A photo is deleted together with its masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from packshot.errors import Unavailable
from packshot.store.audit_rows import Details, record
from packshot.store.database import Database, absent, insert, moment, new_id, require_id
from packshot.store.masks import FILES, cutout_key, files_of, insert_mask, lock_masks_of, refuse_live
from packshot.store.named import IDS_AT_ONCE, known_ids
from packshot.store.pages import page_of
from packshot.store.picture_uses import refuse_used
from packshot.store.projects import hold_project
from packshot.store.records import NewMask, PhotoRecord
from packshot.store.references import AssetReferences, WrittenFile
from packshot.store.schema import Now, mask, photo

MAX_RACES = 50
"""How often an upload is retried while another request keeps deleting the same photo."""


class Photos:
    """The uploaded photos. A photo of another tenant raises NotFound."""

    def __init__(self, database: Database, references: AssetReferences) -> None:
        self._database = database
        self._references = references

    def add(
        self,
        tenant_id: str,
        *,
        png: bytes | WrittenFile,
        width: int,
        height: int,
        format: str,
        bytes: int,
        sha256: str,
        own_alpha: tuple[NewMask, bytes] | None = None,
        notes: Sequence[tuple[str, str]] = (),
        project_id: str | None = None,
    ) -> PhotoRecord:
        """Store an upload. A repeated upload of the same bytes returns the same photo.

        `png` is the normalised photo, or its file when the decoder has written it. `width` and `height` are its size in
        pixels. `format`, `bytes` and `sha256` describe the uploaded file. `own_alpha` is the alpha that the upload
        brought, as a mask, and an RGBA PNG of its straight colours. This mask does not expire; it is deleted with the
        photo. `notes` are (code, detail) pairs on this upload. `project_id` puts the photo into a project; None leaves
        it where it is. Raises NotFound when the project does not exist, and StorageFull when a quota or disk is full.
        """
        (file,) = [png] if isinstance(png, WrittenFile) else self._references.write_files([png])
        own_files = self._references.write_files([own_alpha[0].png, own_alpha[1]]) if own_alpha else []
        pairs = [list(note) for note in notes]
        same_upload = (photo.c.tenant_id == tenant_id) & (photo.c.sha256 == sha256)
        for _ in range(MAX_RACES):  # another request may delete the existing photo before it is updated
            with self._database.write() as connection:
                hold_project(connection, tenant_id, project_id)
                touch = update(photo).where(same_upload).values(used_at=Now(), notes=pairs)
                if project_id is not None:
                    touch = touch.values(project_id=project_id)
                row = connection.execute(touch.returning(*photo.c)).first()
                if row is not None:
                    if own_alpha is not None and not _has_own_alpha(connection, row.id):
                        self._insert_own_alpha(connection, row, own_alpha[0], own_files)
                    _record_upload(connection, row)
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
                    notes=pairs,
                    project_id=project_id,
                )
                row = connection.execute(new.on_conflict_do_nothing().returning(*photo.c)).first()
                if row is not None:
                    if own_alpha is None:
                        self._references.take(connection, [file])
                    else:
                        self._insert_own_alpha(connection, row, own_alpha[0], own_files, [file])
                    _record_upload(connection, row)
                    return _photo_record(row)
        raise Unavailable("not_ready", "another request keeps deleting the same photo while it is added; try again")

    def known(self, tenant_id: str, photo_ids: Iterable[str]) -> set[str]:
        """Those of the ids that are photos of the tenant."""
        with self._database.read() as connection:
            return known_ids(connection, photo, tenant_id, photo_ids)

    def sizes(self, tenant_id: str, photo_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """(width, height) in pixels of those of the ids that are photos of the tenant."""
        found: dict[str, tuple[int, int]] = {}
        wanted = sorted(set(photo_ids))
        with self._database.read() as connection:
            for start in range(0, len(wanted), IDS_AT_ONCE):
                some = wanted[start : start + IDS_AT_ONCE]
                query = select(photo.c.id, photo.c.width, photo.c.height)
                for row in connection.execute(query.where(photo.c.tenant_id == tenant_id, photo.c.id.in_(some))):
                    found[row.id] = (row.width, row.height)
        return found

    def get(self, tenant_id: str, photo_id: str) -> PhotoRecord:
        """Return the photo. Raises NotFound when it does not exist."""
        require_id(photo_id, "photo")
        with self._database.read() as connection:
            row = connection.execute(
                select(photo).where(photo.c.id == photo_id, photo.c.tenant_id == tenant_id)
            ).first()
        if row is None:
            raise absent("photo", photo_id)
        return _photo_record(row)

    def page(
        self,
        tenant_id: str,
        *,
        sha256: str | None = None,
        project_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[PhotoRecord], str | None]:
        """Return a page of photos, newest first, and the cursor of the next page, or None on the last page.

        `sha256` selects the photo whose upload had this hash, and `project_id` those of one project; None selects all.
        `cursor` comes from the previous page; it stays valid when photos are deleted. Raises BadInput when it is none.
        """
        conditions = [photo.c.sha256 == sha256.lower()] if sha256 is not None else []
        if project_id is not None:
            conditions.append(photo.c.project_id == project_id)
        with self._database.read() as connection:
            rows, next_cursor = page_of(connection, photo, tenant_id, cursor, limit, *conditions)
        return [_photo_record(row) for row in rows], next_cursor

    def delete(self, tenant_id: str, photo_id: str) -> None:
        """Delete a photo and its masks.

        Raises NotFound when it does not exist, and Conflict `in_use` while a live shot uses one of its masks, or a
        style, a live shot or an open catalogue has it as a reference.
        """
        require_id(photo_id, "photo")
        with self._database.write() as connection:
            locked = select(photo.c.id).where(photo.c.id == photo_id, photo.c.tenant_id == tenant_id).with_for_update()
            if connection.execute(locked).first() is None:
                raise absent("photo", photo_id)
            refuse_live(connection, lock_masks_of(connection, photo_id), f"photo {photo_id}")
            refuse_used(connection, photo_id)
            keys = self.delete_locked(connection, photo_id)
            record(connection, tenant_id, "photo.deleted", photo_id)
        self._references.purge(keys)

    def delete_locked(self, connection: Connection, photo_id: str) -> list[str]:
        """Delete a photo and its masks, which the caller has locked. Returns the keys to purge after the commit."""
        keys = files_of(connection.execute(select(*FILES).where(mask.c.photo_id == photo_id)))
        connection.execute(delete(mask).where(mask.c.photo_id == photo_id))
        deletion = delete(photo).where(photo.c.id == photo_id).returning(photo.c.asset_key)
        keys.append(connection.execute(deletion).scalar_one())
        self._references.drop(connection, keys)
        return keys

    def _insert_own_alpha(
        self,
        connection: Connection,
        of_photo: Row[Any],
        new: NewMask,
        files: Sequence[WrittenFile],
        others: Sequence[WrittenFile] = (),
    ) -> None:
        """Insert the mask whose PNG and whose RGBA pixels are `files`, with references to them and to `others`."""
        own = replace(new, source="alpha", rgba_key=files[1].key)
        keys = files[0].key, cutout_key(own, files[0].key, of_photo.asset_key)
        self._references.take(connection, [*others, *files], promised=[keys[1]] if keys[1] else [])
        insert_mask(connection, of_photo.tenant_id, of_photo.id, own, keys, expires_at=None)


def _record_upload(connection: Connection, row: Row[Any]) -> None:
    details: Details = {"sha256": row.sha256, "bytes": row.bytes, "format": row.format}
    record(connection, row.tenant_id, "photo.uploaded", row.id, details=details)


def _has_own_alpha(connection: Connection, photo_id: str) -> bool:
    own = select(mask.c.id).where(mask.c.photo_id == photo_id, mask.c.source == "alpha").limit(1)
    return connection.execute(own).first() is not None


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
        notes=tuple((code, detail) for code, detail in row.notes or ()),
        project_id=row.project_id,
    )
