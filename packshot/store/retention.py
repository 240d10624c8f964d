"""Retention: delete what is no longer kept. Safe to run anywhere, any number of times, in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, update

from packshot.contract.status import ENDED
from packshot.store.assets import Assets
from packshot.store.database import Database
from packshot.store.masks import lock_masks_of
from packshot.store.photos import Photos
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, image, mask, photo, shot, shot_mask, tenant

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
ORPHAN_AGE_S = HOUR_S
IDEMPOTENCY_AGE_S = DAY_S
BATCH = 200


class Retention:
    """The sweep, in small transactions, so that other work goes on beside it.

    `default_days`: how long the things of a tenant without a retention of its own are kept; 0 = for ever.
    """

    def __init__(
        self, database: Database, assets: Assets, references: AssetReferences, photos: Photos, *, default_days: float
    ) -> None:
        self._database = database
        self._assets = assets
        self._references = references
        self._photos = photos
        self._default_days = default_days

    def sweep(self) -> dict[str, int]:
        """Delete what is no longer kept. Returns how much of each kind was deleted."""
        return {
            "masks": self._sweep_masks(),
            "shots": self._sweep_shots(),
            "photos": self._sweep_photos(),
            "idempotency_keys": self._sweep_idempotency_keys(),
            "files": self._sweep_files(),
        }

    def _sweep_masks(self) -> int:
        """Candidates that no shot used in time, and masks whose last shot was deleted by retention."""
        used = exists().where(shot_mask.c.mask_id == mask.c.id)
        expired = mask.c.expires_at <= Now()
        left_over = and_(mask.c.expires_at.is_(None), mask.c.created_at < self._kept_since(mask.c.tenant_id))
        gone = 0
        while True:
            with self._database.write() as connection:
                locked = (
                    select(mask.c.id)
                    .where(~used, expired | left_over)
                    .limit(BATCH)
                    .with_for_update(of=mask, skip_locked=True)
                )
                ids = connection.execute(locked).scalars().all()
                # Checked again under the lock: a shot may have used one meanwhile.
                doomed = delete(mask).where(mask.c.id.in_(ids), ~used, expired | left_over)
                keys = connection.execute(doomed.returning(mask.c.asset_key)).scalars().all()
                self._references.drop(connection, keys)
            self._references.purge(keys)
            gone += len(keys)
            if len(ids) < BATCH:
                return gone

    def _sweep_shots(self) -> int:
        gone = 0
        while True:
            with self._database.write() as connection:
                locked = (
                    select(shot.c.id)
                    .where(shot.c.status.in_(ENDED), shot.c.finished_at < self._kept_since(shot.c.tenant_id))
                    .limit(BATCH)
                    .with_for_update(of=shot, skip_locked=True)
                )
                ids = connection.execute(locked).scalars().all()
                keys = connection.execute(select(image.c.asset_key).where(image.c.shot_id.in_(ids))).scalars().all()
                connection.execute(delete(shot).where(shot.c.id.in_(ids)))
                self._references.drop(connection, keys)
            self._references.purge(keys)
            gone += len(ids)
            if len(ids) < BATCH:
                return gone

    def _sweep_photos(self) -> int:
        """Photos not touched within retention, unless a shot that is kept was made from them."""
        used = exists().where(mask.c.photo_id == photo.c.id, shot_mask.c.mask_id == mask.c.id)
        old = photo.c.used_at < self._kept_since(photo.c.tenant_id)
        with self._database.read() as connection:
            ids = connection.execute(select(photo.c.id).where(old, ~used)).scalars().all()
        gone = 0
        for photo_id in ids:
            with self._database.write() as connection:
                locked = select(photo.c.id).where(photo.c.id == photo_id, old).with_for_update(of=photo)
                if connection.execute(locked).first() is None:
                    continue
                mask_ids = lock_masks_of(connection, photo_id)
                in_use = select(shot_mask.c.mask_id).where(shot_mask.c.mask_id.in_(mask_ids)).limit(1)
                if connection.execute(in_use).first() is not None:
                    continue
                keys = self._photos.delete_locked(connection, photo_id)
            self._references.purge(keys)
            gone += 1
        return gone

    def _kept_since(self, tenant_id: ColumnElement[str]) -> ColumnElement[float]:
        """What a tenant has from before this moment is deleted; NULL where it is kept for ever."""
        days = select(func.coalesce(tenant.c.retention_days, self._default_days))
        own = days.where(tenant.c.id == tenant_id).scalar_subquery()
        return Now() - func.nullif(own, 0.0) * DAY_S  # NULL for 0: no comparison holds

    def _sweep_idempotency_keys(self) -> int:
        old = and_(
            shot.c.idempotency_key.is_not(None),
            shot.c.status.in_(ENDED),
            shot.c.created_at < Now() - IDEMPOTENCY_AGE_S,
        )
        with self._database.write() as connection:
            return connection.execute(update(shot).where(old).values(idempotency_key=None)).rowcount

    def _sweep_files(self) -> int:
        """Files that no row refers to: transactions not committed, failed deletes, previews, temporary files."""
        gone = self._references.purge_unused()
        old = (file.key for file in self._assets.files() if file.age_s > ORPHAN_AGE_S)
        for keys in _batches(old):
            loose = [key for key in keys if key.startswith(("tmp/", "previews/"))]
            for key in loose:
                self._assets.delete(key)
            gone += len(loose) + self._references.purge_orphans([key for key in keys if key not in loose])
        return gone


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(keys)
    while batch := list(islice(iterator, BATCH)):
        yield batch
