"""Photos and their masks: their rows, their files, and when they may go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update

from packshot.errors import Conflict, Unavailable
from packshot.store.database import absent, insert, moment, moment_or_none, new_id, require_id
from packshot.store.ledger import Ledger
from packshot.store.records import MaskRecord, NewMask, PhotoRecord
from packshot.store.schema import Now, mask, photo, shot, shot_mask

RACES = 50
"""Tries of an upload whose photo is deleted by another at the same moment; each lost try is the other's progress."""
HOUR_S = 3600.0


class Photos(Ledger):
    """What clients uploaded and what was cut out of it. Another tenant's things do not exist (NotFound)."""

    def add_photo(
        self, tenant_id: str, *, png: bytes, width: int, height: int, format: str, bytes: int, sha256: str
    ) -> PhotoRecord:
        """Keep an upload; the same bytes again give the same photo.

        `png`: the normalised photo. `format`, `bytes`, `sha256`: the upload's own. Raises StorageFull.
        """
        files = self._put_all([png])
        (asset_key,) = files
        ours = (photo.c.tenant_id == tenant_id) & (photo.c.sha256 == sha256)
        row_values = {
            "id": new_id("ph"),
            "tenant_id": tenant_id,
            "width": width,
            "height": height,
            "format": format,
            "bytes": bytes,
            "sha256": sha256,
            "asset_key": asset_key,
            "created_at": Now(),
            "used_at": Now(),
        }
        for _ in range(RACES):  # the photo that was there may be deleted just before we touch it
            with self.write() as connection:
                again = update(photo).where(ours).values(used_at=Now()).returning(*photo.c)
                row = connection.execute(again).first()
                if row is not None:
                    return _photo_record(row)
                new = insert(connection, photo).values(row_values)
                row = connection.execute(new.on_conflict_do_nothing().returning(*photo.c)).first()
                if row is not None:
                    self._hold(connection, [asset_key], files)
                    return _photo_record(row)
        raise Unavailable("not_ready", "the same photo is being added and deleted at once; try again")

    def photo(self, tenant_id: str, photo_id: str) -> PhotoRecord:
        """Raises NotFound."""
        require_id(photo_id, "photo")
        with self.read() as connection:
            row = connection.execute(
                select(photo).where(photo.c.id == photo_id, photo.c.tenant_id == tenant_id)
            ).first()
        if row is None:
            raise absent("photo", photo_id)
        return _photo_record(row)

    def delete_photo(self, tenant_id: str, photo_id: str) -> None:
        """Delete a photo and its masks. Raises NotFound; Conflict `in_use` while a live shot needs it."""
        require_id(photo_id, "photo")
        with self.write() as connection:
            locked = select(photo.c.id).where(photo.c.id == photo_id, photo.c.tenant_id == tenant_id).with_for_update()
            if connection.execute(locked).first() is None:
                raise absent("photo", photo_id)
            mask_ids = _locked_masks(connection, photo_id)
            _refuse_live(connection, mask_ids, f"photo {photo_id}")
            keys = self._remove_photo(connection, photo_id)
        self._purge(keys)

    def add_masks(self, tenant_id: str, photo_id: str, masks: Sequence[NewMask]) -> list[MaskRecord]:
        """Keep a click's candidates, all or none, in the order given. Raises NotFound, StorageFull."""
        require_id(photo_id, "photo")
        files = self._put_all(new.png for new in masks)
        keys = [self.assets.key_of(new.png, ".png") for new in masks]
        lifetime_s = self.settings.candidate_mask_hours * HOUR_S
        records = []
        with self.write() as connection:
            used = update(photo).where(photo.c.id == photo_id, photo.c.tenant_id == tenant_id).values(used_at=Now())
            if connection.execute(used).rowcount == 0:
                raise absent("photo", photo_id)
            self._hold(connection, keys, files)
            for new, key in zip(masks, keys, strict=True):
                statement = mask.insert().values(
                    id=new_id("mk"),
                    tenant_id=tenant_id,
                    photo_id=photo_id,
                    score=new.score,
                    area_px=new.area_px,
                    bbox_xyxy=list(new.bbox_xyxy),
                    asset_key=key,
                    created_at=Now(),
                    expires_at=Now() + lifetime_s,
                )
                records.append(_mask_record(connection.execute(statement.returning(*mask.c)).one()))
        return records

    def mask(self, tenant_id: str, mask_id: str) -> MaskRecord:
        """Raises NotFound, also once it has expired."""
        require_id(mask_id, "mask")
        fresh = or_(mask.c.expires_at.is_(None), mask.c.expires_at > Now())
        with self.read() as connection:
            row = connection.execute(
                select(mask).where(mask.c.id == mask_id, mask.c.tenant_id == tenant_id, fresh)
            ).first()
        if row is None:
            raise absent("mask", mask_id)
        return _mask_record(row)

    def delete_mask(self, tenant_id: str, mask_id: str) -> None:
        """Raises NotFound; Conflict `in_use` while a live shot needs it."""
        require_id(mask_id, "mask")
        with self.write() as connection:
            mine = (mask.c.id == mask_id) & (mask.c.tenant_id == tenant_id)
            key = connection.execute(select(mask.c.asset_key).where(mine).with_for_update()).scalar_one_or_none()
            if key is None:
                raise absent("mask", mask_id)
            _refuse_live(connection, [mask_id], f"mask {mask_id}")
            connection.execute(delete(mask).where(mask.c.id == mask_id))
            self._drop(connection, [key])
        self._purge([key])

    def _remove_photo(self, connection: Connection, photo_id: str) -> list[str]:
        """Delete a locked photo and its masks; gives the asset keys to purge."""
        of_masks = select(mask.c.asset_key).where(mask.c.photo_id == photo_id)
        keys = list(connection.execute(of_masks).scalars())
        connection.execute(delete(mask).where(mask.c.photo_id == photo_id))
        gone = delete(photo).where(photo.c.id == photo_id).returning(photo.c.asset_key)
        keys.append(connection.execute(gone).scalar_one())
        self._drop(connection, keys)
        return keys


def _locked_masks(connection: Connection, photo_id: str) -> list[str]:
    locked = select(mask.c.id).where(mask.c.photo_id == photo_id).order_by(mask.c.id).with_for_update()
    return list(connection.execute(locked).scalars())


def _refuse_live(connection: Connection, mask_ids: Sequence[str], what: str) -> None:
    """The masks are locked: no shot can take one up between this look and the delete."""
    live = (
        select(shot.c.id)
        .join(shot_mask, shot_mask.c.shot_id == shot.c.id)
        .where(shot_mask.c.mask_id.in_(mask_ids), shot.c.status.in_(("queued", "running")))
        .limit(1)
    )
    shot_id = connection.execute(live).scalar_one_or_none()
    if shot_id is not None:
        raise Conflict(
            "in_use", f"{what} must not be needed by a live shot; {shot_id} needs it: wait for it or cancel it"
        )


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


def _mask_record(row: Row[Any]) -> MaskRecord:
    x0, y0, x1, y1 = row.bbox_xyxy
    return MaskRecord(
        id=row.id,
        tenant=row.tenant_id,
        photo_id=row.photo_id,
        score=row.score,
        area_px=row.area_px,
        bbox_xyxy=(x0, y0, x1, y1),
        asset_key=row.asset_key,
        created_at=moment(row.created_at),
        expires_at=moment_or_none(row.expires_at),
    )
