"""The masks of photos, and the rule for when a mask may be deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, or_, select, update

from packshot.contract.status import LIVE
from packshot.errors import Conflict
from packshot.store.audit_rows import record
from packshot.store.database import Database, absent, moment, moment_or_none, new_id, require_id
from packshot.store.named import known_ids
from packshot.store.records import MaskRecord, NewMask
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, mask, photo, shot, shot_mask
from packshot.types import BoxXYXY

FILES = (mask.c.asset_key, mask.c.rgba_key, mask.c.cutout_key)
"""The columns of a mask that refer to assets."""
MATTE = 2
"""Version of the way from a mask to its cutout. A new version keeps its cutouts at other keys than this one."""


class Masks:
    """The masks of photos. A mask of another tenant raises NotFound.

    `candidate_lifetime_s` is how long a mask is kept when no shot uses it, in seconds.
    """

    def __init__(self, database: Database, references: AssetReferences, *, candidate_lifetime_s: float) -> None:
        self._database = database
        self._references = references
        self._candidate_lifetime_s = candidate_lifetime_s

    def add(self, tenant_id: str, photo_id: str, masks: Sequence[NewMask]) -> list[MaskRecord]:
        """Store the candidates of one click, all or none. Returns their records in the order of `masks`.

        Raises NotFound when the photo does not exist and StorageFull when a quota or disk is full.
        """
        require_id(photo_id, "photo")
        files = self._references.write_files(new.png for new in masks)
        records = []
        with self._database.write() as connection:
            used = update(photo).where(photo.c.id == photo_id, photo.c.tenant_id == tenant_id).values(used_at=Now())
            photo_key = connection.execute(used.returning(photo.c.asset_key)).scalar_one_or_none()
            if photo_key is None:
                raise absent("photo", photo_id)
            cutouts = [cutout_key(new, file.key, photo_key) for new, file in zip(masks, files, strict=True)]
            own = [new.rgba_key for new in masks if new.rgba_key]
            self._references.take(connection, files, own, promised=[key for key in cutouts if key])
            expires_at = Now() + self._candidate_lifetime_s
            for new, file, kept in zip(masks, files, cutouts, strict=True):
                keys = (file.key, kept)
                made = insert_mask(connection, tenant_id, photo_id, new, keys, expires_at=expires_at)
                records.append(made)
                if new.source == "upload":  # a click's candidates are drafts; the shots name those that counted
                    record(connection, tenant_id, "mask.put", made.id, details={"photo_id": photo_id})
        return records

    def own_alpha(self, tenant_id: str, photo_id: str) -> MaskRecord | None:
        """The mask that the photo's upload brought as its alpha, or None."""
        own = (mask.c.photo_id == photo_id) & (mask.c.tenant_id == tenant_id) & (mask.c.source == "alpha")
        with self._database.read() as connection:
            row = connection.execute(select(mask).where(own)).first()
        return None if row is None else _mask_record(row)

    def known(self, tenant_id: str, mask_ids: Iterable[str]) -> set[str]:
        """Those of the ids that are masks of the tenant."""
        with self._database.read() as connection:
            return known_ids(connection, mask, tenant_id, mask_ids)

    def get(self, tenant_id: str, mask_id: str) -> MaskRecord:
        """Return the mask. Raises NotFound when it does not exist or has expired."""
        require_id(mask_id, "mask")
        fresh = or_(mask.c.expires_at.is_(None), mask.c.expires_at > Now())
        with self._database.read() as connection:
            row = connection.execute(
                select(mask).where(mask.c.id == mask_id, mask.c.tenant_id == tenant_id, fresh)
            ).first()
        if row is None:
            raise absent("mask", mask_id)
        return _mask_record(row)

    def delete(self, tenant_id: str, mask_id: str) -> None:
        """Delete a mask. Raises NotFound when it does not exist and Conflict `in_use` while a live shot uses it."""
        require_id(mask_id, "mask")
        with self._database.write() as connection:
            mine = (mask.c.id == mask_id) & (mask.c.tenant_id == tenant_id)
            row = connection.execute(select(*FILES).where(mine).with_for_update()).first()
            if row is None:
                raise absent("mask", mask_id)
            refuse_live(connection, [mask_id], f"mask {mask_id}")
            connection.execute(delete(mask).where(mask.c.id == mask_id))
            keys = files_of([row])
            self._references.drop(connection, keys)
            record(connection, tenant_id, "mask.deleted", mask_id)
        self._references.purge(keys)


def cutout_key(new: NewMask, mask_key: str, photo_key: str) -> str | None:
    """Where the cutout of a mask is kept; None for a mask of version 0.1.0, whose cutout is not kept.

    Equal pixels of photo and mask, and an equal lock, give an equal cutout, and so one key.
    """
    if new.lock_px is None:
        return None
    made_of = f"{MATTE} {new.lock_px} {new.rgba_key or photo_key} {mask_key}"
    return f"cutouts/{hashlib.sha256(made_of.encode()).hexdigest()}.png"


def insert_mask(
    connection: Connection,
    tenant_id: str,
    photo_id: str,
    new: NewMask,
    keys: tuple[str, str | None],
    *,
    expires_at: ColumnElement[float] | None,
) -> MaskRecord:
    """Insert a mask's row. `keys` are those of its file and of its cutout.

    The caller has locked the photo and takes the references to the files.
    """
    statement = mask.insert().values(
        id=new_id("mk"),
        tenant_id=tenant_id,
        photo_id=photo_id,
        score=new.score,
        area_px=new.area_px,
        bbox_xyxy=list(new.bbox_xyxy),
        asset_key=keys[0],
        cutout_key=keys[1],
        lock_px=new.lock_px,
        cutout_bbox_xyxy=None if new.cutout_bbox_xyxy is None else list(new.cutout_bbox_xyxy),
        source=new.source,
        parent_id=new.parent_id,
        rgba_key=new.rgba_key,
        created_at=Now(),
        expires_at=expires_at,
    )
    return _mask_record(connection.execute(statement.returning(*mask.c)).one())


def files_of(rows: Iterable[Sequence[Any]]) -> list[str]:
    """The asset keys in rows of columns that hold some, such as `FILES`, one for each reference."""
    return [key for row in rows for key in row if key is not None]


def lock_masks_of(connection: Connection, photo_id: str) -> list[str]:
    """Lock the masks of a photo in a fixed order and return their ids."""
    locked = select(mask.c.id).where(mask.c.photo_id == photo_id).order_by(mask.c.id).with_for_update()
    return list(connection.execute(locked).scalars())


def refuse_live(connection: Connection, mask_ids: Sequence[str], what: str) -> None:
    """Raise Conflict `in_use` when a live shot uses one of the masks. `what` names the deleted object in the error.

    The caller must have locked the masks, so that no shot can start to use one between this check and the deletion.
    """
    live = (
        select(shot.c.id)
        .join(shot_mask, shot_mask.c.shot_id == shot.c.id)
        .where(shot_mask.c.mask_id.in_(mask_ids), shot.c.status.in_(LIVE))
        .limit(1)
    )
    shot_id = connection.execute(live).scalar_one_or_none()
    if shot_id is not None:
        raise Conflict(
            "in_use", f"{what} must not be used by a live shot, but {shot_id} uses it; wait for the shot or cancel it"
        )


def _mask_record(row: Row[Any]) -> MaskRecord:
    return MaskRecord(
        id=row.id,
        tenant=row.tenant_id,
        photo_id=row.photo_id,
        score=row.score,
        area_px=row.area_px,
        bbox_xyxy=_box(row.bbox_xyxy),
        asset_key=row.asset_key,
        created_at=moment(row.created_at),
        expires_at=moment_or_none(row.expires_at),
        source=row.source,
        parent_id=row.parent_id,
        rgba_key=row.rgba_key,
        lock_px=row.lock_px,
        cutout_bbox_xyxy=None if row.cutout_bbox_xyxy is None else _box(row.cutout_bbox_xyxy),
        cutout_key=row.cutout_key,
    )


def _box(stored: Sequence[int]) -> BoxXYXY:
    x0, y0, x1, y1 = stored
    return x0, y0, x1, y1
