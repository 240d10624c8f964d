"""Retention: delete expired masks, old shots and photos, and unreferenced files. Sweeps may run in parallel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, delete, exists, func, select, update

from packshot.contract.status import ENDED
from packshot.store.asset_keys import CONTENT_FOLDERS, SHORT_LIVED
from packshot.store.asset_root import AssetRoot
from packshot.store.assets import Assets
from packshot.store.audit import Audit
from packshot.store.catalogue_tables import catalogue, catalogue_photo, catalogue_shot
from packshot.store.clips import clip_keys_of
from packshot.store.database import Database
from packshot.store.delivered import asset_keys_of
from packshot.store.duty import take_duty
from packshot.store.images import IMAGE_FILES
from packshot.store.masks import FILES, files_of, lock_masks_of
from packshot.store.photos import Photos
from packshot.store.picture_uses import used_as_reference
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, image, mask, photo, shot, shot_mask, tenant
from packshot.store.schema_files import clip, delivered_file
from packshot.store.schema_trainings import training
from packshot.store.sessions import Sessions
from packshot.store.shots import job_keys_of
from packshot.store.uploads import Uploads
from packshot.store.webhooks import Webhooks

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
ORPHAN_AGE_S = HOUR_S
IDEMPOTENCY_AGE_S = DAY_S
DROPPED_AGE_S = DAY_S
BATCH = 200

SWEEP_EVERY_S = 600.0
"""Seconds between two sweeps of the whole cluster."""

FOLDERS_PER_SWEEP = 2
"""Folders whose orphans one sweep looks for: each folder's turn comes about once a day."""

WHOLE_ROOT = ("",)

log = logging.getLogger(__name__)


class Retention:
    """Deletes in small transactions, so that other work can continue. Nothing of a tenant under a legal hold goes.

    `default_days` is how many days shots and photos are kept when their tenant has no own value; 0 = for ever.
    """

    def __init__(
        self,
        database: Database,
        assets: Assets,
        root: AssetRoot,
        references: AssetReferences,
        photos: Photos,
        sessions: Sessions,
        uploads: Uploads,
        webhooks: Webhooks,
        audit: Audit,
        *,
        default_days: float,
    ) -> None:
        self._database = database
        self._assets = assets
        self._root = root
        self._references = references
        self._photos = photos
        self._sessions = sessions
        self._uploads = uploads
        self._webhooks = webhooks
        self._audit = audit
        self._default_days = default_days

    def sweep_if_due(self) -> dict[str, int] | None:
        """Sweep if no process of the cluster has done so for SWEEP_EVERY_S; else return None.

        It lists a few folders of the asset root, and the next sweep the following ones.
        """
        pages = len(CONTENT_FOLDERS)
        turn = take_duty(self._database, "sweep", every_s=SWEEP_EVERY_S, pages=FOLDERS_PER_SWEEP, of_pages=pages)
        return None if turn is None else self.sweep([CONTENT_FOLDERS[page] for page in turn])

    def sweep(self, folders: Sequence[str] = WHOLE_ROOT) -> dict[str, int]:
        """Delete everything whose retention has ended. Returns the number of deletions by kind.

        `folders` are those of the asset root in which files without a row are looked for.
        """
        return {
            "masks": self._sweep_masks(),
            "shots": self._sweep_shots(),
            "photos": self._sweep_photos(),
            "catalogues": self._sweep_catalogues(),
            "trainings": self._sweep_trainings(),
            "dropped_images": self._sweep_dropped(),
            "idempotency_keys": self._sweep_idempotency_keys(),
            "sessions": self._sessions.sweep(),
            "uploads": self._uploads.sweep(),
            "webhook_messages": self._webhooks.sweep(),
            "audit_lines": self._swept_audit(),
            "files": self._sweep_files(folders),
        }

    def _swept_audit(self) -> int:
        self._audit.chain_all()
        return self._audit.sweep()

    def _sweep_masks(self) -> int:
        """Delete candidates that no shot used in time, and masks whose last shot was deleted by retention."""
        used = exists().where(shot_mask.c.mask_id == mask.c.id)
        expired = (mask.c.expires_at <= Now()) & ~_held(mask.c.tenant_id)
        unneeded = and_(
            mask.c.expires_at.is_(None),
            mask.c.source.is_distinct_from("alpha"),  # this one lives as long as its photo
            mask.c.created_at < self._cutoff(mask.c.tenant_id),
        )
        locked = select(mask.c.id).where(~used, expired | unneeded).limit(BATCH)
        locked = locked.with_for_update(of=mask, skip_locked=True)

        def delete_batch(connection: Connection) -> _Batch:
            ids = connection.execute(locked).scalars().all()
            # The conditions are checked again under the lock, because a shot may have used a mask since.
            deletion = delete(mask).where(mask.c.id.in_(ids), ~used, expired | unneeded)
            rows = connection.execute(deletion.returning(*FILES)).all()
            return _Batch(len(ids), len(rows), files_of(rows))

        return self._in_batches(delete_batch)

    def _sweep_shots(self) -> int:
        """Delete old shots, unless one of their pictures is a reference that is still needed."""
        referred = exists().where(image.c.shot_id == shot.c.id, used_as_reference(image.c.id))
        old = and_(shot.c.status.in_(ENDED), shot.c.finished_at < self._cutoff(shot.c.tenant_id), ~referred)
        locked = select(shot.c.id).where(old).limit(BATCH).with_for_update(of=shot, skip_locked=True)

        def delete_batch(connection: Connection) -> _Batch:
            ids = connection.execute(locked).scalars().all()
            pictures = select(*IMAGE_FILES).where(image.c.shot_id.in_(ids))
            keys = [*files_of(connection.execute(pictures)), *asset_keys_of(connection, ids)]
            keys += [*job_keys_of(connection, ids), *clip_keys_of(connection, ids)]
            connection.execute(delete(shot).where(shot.c.id.in_(ids)))
            return _Batch(len(ids), len(ids), keys)

        return self._in_batches(delete_batch)

    def _sweep_photos(self) -> int:
        """Delete photos that were not used within their retention, unless a kept shot uses one of their masks.

        One that is a reference which is still needed is kept too.
        """
        used = exists().where(mask.c.photo_id == photo.c.id, shot_mask.c.mask_id == mask.c.id)
        old = (photo.c.used_at < self._cutoff(photo.c.tenant_id)) & ~used_as_reference(photo.c.id)
        with self._database.read() as connection:
            ids = connection.execute(select(photo.c.id).where(old, ~used)).scalars().all()
        deleted = 0
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
            deleted += 1
        return deleted

    def _sweep_dropped(self) -> int:
        """Delete pictures that a catalogue painted and did not choose, a day after they were made.

        One that a person reviewed, that is a reference, or of which a file or a clip was made, is kept like the chosen.
        """
        chosen, of_row = image.alias(), catalogue_shot.c
        better = exists().where(
            of_row.shot_id == image.c.shot_id,
            chosen.c.id == of_row.image_id,
            chosen.c.shot_id == of_row.shot_id,
            chosen.c.id != image.c.id,
        )
        delivered = exists().where(delivered_file.c.image_id == image.c.id)
        filmed = exists().where(clip.c.image_id == image.c.id)
        unused = and_(image.c.review_number.is_(None), ~delivered, ~filmed, ~used_as_reference(image.c.id))
        dropped = and_(image.c.created_at < Now() - DROPPED_AGE_S, unused, better, ~_held(image.c.tenant_id))
        locked = select(image.c.id).where(dropped).limit(BATCH).with_for_update(of=image, skip_locked=True)

        def delete_batch(connection: Connection) -> _Batch:
            ids = connection.execute(locked).scalars().all()
            gone = delete(image).where(image.c.id.in_(ids), image.c.review_number.is_(None)).returning(*IMAGE_FILES)
            rows = connection.execute(gone).all()
            return _Batch(len(ids), len(rows), files_of(rows))

        return self._in_batches(delete_batch)

    def _sweep_catalogues(self) -> int:
        """Delete catalogues that ended, or were never started, before the cutoff, with their rows."""
        c = catalogue.c
        ended = func.coalesce(c.ended_at, c.created_at) < self._cutoff(c.tenant_id)
        old = and_(c.state.in_(("draft", "done", "cancelled")), ended)
        deleted = 0
        while True:
            with self._database.write() as connection:
                found = connection.execute(select(c.id).where(old).limit(1).with_for_update(of=catalogue)).scalar()
                if found is None:
                    return deleted
                files = select(catalogue_photo.c.asset_key).where(catalogue_photo.c.catalogue_id == found)
                keys = [key for key in connection.execute(files).scalars() if key]
                connection.execute(delete(catalogue).where(c.id == found))
                self._references.drop(connection, keys)
            self._references.purge(keys)
            deleted += 1

    def _sweep_trainings(self) -> int:
        """Delete trainings that ended before the cutoff, with their files. Their adapters stay."""
        c = training.c
        old = and_(c.status.in_(ENDED), c.finished_at < self._cutoff(c.tenant_id))
        locked = select(c.id).where(old).limit(BATCH).with_for_update(of=training, skip_locked=True)

        def delete_batch(connection: Connection) -> _Batch:
            ids = connection.execute(locked).scalars().all()
            gone = delete(training).where(c.id.in_(ids)).returning(c.sheet_key, c.loss_key, c.state_key)
            return _Batch(len(ids), len(ids), files_of(connection.execute(gone)))

        return self._in_batches(delete_batch)

    def _in_batches(self, delete_batch: Callable[[Connection], _Batch]) -> int:
        """Delete batches, each in a transaction of its own, until one was not full. Returns the number of rows."""
        deleted = 0
        while True:
            with self._database.write() as connection:
                batch = delete_batch(connection)
                self._references.drop(connection, batch.keys)
            self._references.purge(batch.keys)
            deleted += batch.deleted
            if batch.found < BATCH:
                return deleted

    def _cutoff(self, tenant_id: ColumnElement[str]) -> ColumnElement[float]:
        """The time before which a tenant's data is deleted; NULL when it is kept for ever, or under a legal hold."""
        kept = func.coalesce(tenant.c.retention_days, self._default_days)
        days = select(case((tenant.c.legal_hold.is_not(None), 0.0), else_=kept))
        own = days.where(tenant.c.id == tenant_id).scalar_subquery()
        return Now() - func.nullif(own, 0.0) * DAY_S  # NULL for 0: no comparison with NULL is true

    def _sweep_idempotency_keys(self) -> int:
        old = and_(
            shot.c.idempotency_key.is_not(None),
            shot.c.status.in_(ENDED),
            shot.c.created_at < Now() - IDEMPOTENCY_AGE_S,
        )
        with self._database.write() as connection:
            return connection.execute(update(shot).where(old).values(idempotency_key=None)).rowcount

    def _sweep_files(self, folders: Sequence[str]) -> int:
        """Delete files without a reference: of failed transactions and deletions, previews and temporary files."""
        deleted = self._references.purge_unused()
        if not self._root.is_own():
            log.error("%s is not marked as this database's; no orphan in it is deleted", self._assets.root_url)
            return deleted
        for folder in SHORT_LIVED:
            for key in self._old_files(folder):
                self._assets.delete(key)
                deleted += 1
        for folder in folders:
            referable = (key for key in self._old_files(folder) if not key.startswith(SHORT_LIVED))
            for keys in _batches(referable):
                deleted += self._references.purge_orphans(keys)
        return deleted

    def _old_files(self, folder: str) -> Iterator[str]:
        return (file.key for file in self._assets.files(folder) if file.age_s > ORPHAN_AGE_S)


class _Batch(NamedTuple):
    """What one transaction deleted: rows `found`, those of them `deleted`, and the keys of their files."""

    found: int
    deleted: int
    keys: list[str]


def _held(tenant_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the tenant is under a legal hold."""
    return exists().where(tenant.c.id == tenant_id, tenant.c.legal_hold.is_not(None))


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(keys)
    while batch := list(islice(iterator, BATCH)):
        yield batch
