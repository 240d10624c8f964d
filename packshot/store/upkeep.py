"""What keeps the store small: expiry, retention, orphans. Safe to run anywhere, any number of times, at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, update

from packshot.contract.status import ENDED
from packshot.store.claims import Claims
from packshot.store.database import insert
from packshot.store.photos import HOUR_S, Photos
from packshot.store.schema import Now, asset, image, mask, photo, shot, shot_mask, tenant

DAY_S = 24 * HOUR_S
ORPHAN_AGE_S = HOUR_S
IDEMPOTENCY_AGE_S = DAY_S
BATCH = 200


class Upkeep(Photos, Claims):
    """The sweep, in small transactions, so that work goes on beside it."""

    def sweep(self) -> dict[str, int]:
        """Delete what is no longer kept; gives how much of each kind went."""
        return {
            "masks": self._sweep_masks(),
            "shots": self._sweep_shots(),
            "photos": self._sweep_photos(),
            "idempotency_keys": self._sweep_idempotency_keys(),
            "files": self._sweep_files(),
        }

    def _sweep_masks(self) -> int:
        """Candidates that no shot took up in time, and masks whose last shot went by retention."""
        used = exists().where(shot_mask.c.mask_id == mask.c.id)
        expired = mask.c.expires_at <= Now()
        left_over = and_(mask.c.expires_at.is_(None), mask.c.created_at < self._kept_since(mask.c.tenant_id))
        gone = 0
        while True:
            with self.write() as connection:
                locked = (
                    select(mask.c.id)
                    .where(~used, expired | left_over)
                    .limit(BATCH)
                    .with_for_update(of=mask, skip_locked=True)
                )
                ids = connection.execute(locked).scalars().all()
                # Once more under the lock: a shot may have taken one up meanwhile.
                doomed = delete(mask).where(mask.c.id.in_(ids), ~used, expired | left_over)
                keys = connection.execute(doomed.returning(mask.c.asset_key)).scalars().all()
                self._drop(connection, keys)
            self._purge(keys)
            gone += len(keys)
            if len(ids) < BATCH:
                return gone

    def _sweep_shots(self) -> int:
        gone = 0
        while True:
            with self.write() as connection:
                locked = (
                    select(shot.c.id)
                    .where(shot.c.status.in_(ENDED), shot.c.finished_at < self._kept_since(shot.c.tenant_id))
                    .limit(BATCH)
                    .with_for_update(of=shot, skip_locked=True)
                )
                ids = connection.execute(locked).scalars().all()
                keys = connection.execute(select(image.c.asset_key).where(image.c.shot_id.in_(ids))).scalars().all()
                connection.execute(delete(shot).where(shot.c.id.in_(ids)))
                self._drop(connection, keys)
            self._purge(keys)
            gone += len(ids)
            if len(ids) < BATCH:
                return gone

    def _sweep_photos(self) -> int:
        """Photos not touched within retention, unless a shot that is kept was made from them."""
        used = exists().where(mask.c.photo_id == photo.c.id, shot_mask.c.mask_id == mask.c.id)
        old = photo.c.used_at < self._kept_since(photo.c.tenant_id)
        with self.read() as connection:
            ids = connection.execute(select(photo.c.id).where(old, ~used)).scalars().all()
        gone = 0
        for photo_id in ids:
            with self.write() as connection:
                locked = select(photo.c.id).where(photo.c.id == photo_id, old).with_for_update(of=photo)
                if connection.execute(locked).first() is None:
                    continue
                masks = select(mask.c.id).where(mask.c.photo_id == photo_id).order_by(mask.c.id).with_for_update()
                mask_ids = connection.execute(masks).scalars().all()
                in_use = select(shot_mask.c.mask_id).where(shot_mask.c.mask_id.in_(mask_ids)).limit(1)
                if connection.execute(in_use).first() is not None:
                    continue
                keys = self._remove_photo(connection, photo_id)
            self._purge(keys)
            gone += 1
        return gone

    def _kept_since(self, tenant_id: ColumnElement[str]) -> ColumnElement[float]:
        """Before this moment things of the tenant go; the beginning of time where they are kept for ever."""
        days = select(func.coalesce(tenant.c.retention_days, self.settings.retention_days))
        own = days.where(tenant.c.id == tenant_id).scalar_subquery()
        return Now() - func.nullif(own, 0.0) * DAY_S  # NULL for 0: no comparison holds

    def _sweep_idempotency_keys(self) -> int:
        old = and_(
            shot.c.idempotency_key.is_not(None),
            shot.c.status.in_(ENDED),
            shot.c.created_at < Now() - IDEMPOTENCY_AGE_S,
        )
        with self.write() as connection:
            return connection.execute(update(shot).where(old).values(idempotency_key=None)).rowcount

    def _sweep_files(self) -> int:
        """Files that no row holds: of transactions that never came, deletes that failed, previews, temporary ones."""
        with self.read() as connection:
            unheld = connection.execute(select(asset.c.key).where(asset.c.refs <= 0)).scalars().all()
        gone = self._purge(unheld)
        old = (file.key for file in self.assets.files() if file.age_s > ORPHAN_AGE_S)
        for keys in _batches(old):
            loose = {key for key in keys if key.startswith(("tmp/", "previews/"))}
            for key in loose:
                self.assets.delete(key)
            with self.write() as connection:
                held = set(connection.execute(select(asset.c.key).where(asset.c.key.in_(keys))).scalars())
                orphans = sorted(set(keys) - loose - held)
                for key in orphans:  # a row to lock, so that nobody takes the file up while it goes
                    row = insert(connection, asset).values(key=key, bytes=0, refs=0, created_at=Now())
                    connection.execute(row.on_conflict_do_nothing())
            gone += len(loose) + self._purge(orphans)
        return gone


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(keys)
    while batch := list(islice(iterator, BATCH)):
        yield batch
