"""The deletion of a tenant: its keys first, then everything that it owns, then its row. A receipt remains.

Every transaction is small, and the receipt counts what each deleted. A deletion that died is repeated by the same call.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, exc, func, or_, select, update

from packshot.errors import BadInput, Conflict, Unavailable
from packshot.store.asset_keys import PREVIEWS, upload_key
from packshot.store.assets import Assets
from packshot.store.audit import delete_trail
from packshot.store.audit_rows import record
from packshot.store.clips import clip_keys_of
from packshot.store.database import Database, absent, insert, moment, moment_or_none, require_id
from packshot.store.delivered import asset_keys_of
from packshot.store.images import IMAGE_FILES
from packshot.store.masks import files_of, lock_masks_of
from packshot.store.photos import Photos
from packshot.store.records import DeletionRecord
from packshot.store.references import AssetReferences
from packshot.store.schema import Now, api_key, asset, deletion, image, mask, metadata, photo, shot, tenant, upload
from packshot.store.schema_audit import audit_chain, audit_event
from packshot.store.shots import job_keys_of

BATCH = 200

ROUNDS = 20
"""How often the deletion begins anew because a request that was under way had written another row."""


_SHA256 = re.compile(r"[0-9a-f]{64}")


class Deletions:
    """Deletes tenants, and keeps the receipts. Calls for one tenant may run at the same time."""

    def __init__(self, database: Database, assets: Assets, references: AssetReferences, photos: Photos) -> None:
        self._database = database
        self._assets = assets
        self._references = references
        self._photos = photos

    def hold(self, tenant_id: str, reason: str | None) -> None:
        """Set a tenant's legal hold, under which it cannot be deleted, or lift it with None. Raises NotFound."""
        require_id(tenant_id, "tenant")
        with self._database.write() as connection:
            change = update(tenant).where(tenant.c.id == tenant_id).values(legal_hold=reason)
            if connection.execute(change).rowcount == 0:
                raise absent("tenant", tenant_id)
            record(connection, tenant_id, "tenant.released" if reason is None else "tenant.held", tenant_id)

    def holds(self) -> dict[str, str]:
        """Return the reason of each legal hold, by the tenant's id."""
        with self._database.read() as connection:
            rows = connection.execute(select(tenant.c.id, tenant.c.legal_hold).where(tenant.c.legal_hold.is_not(None)))
            return {row.id: row.legal_hold for row in rows}

    def receipts(self, *, cursor: str | None = None, limit: int = 50) -> tuple[list[DeletionRecord], str | None]:
        """Return a page of receipts, newest first, and the cursor of the next page, or None on the last page.

        `cursor` comes from the previous page. Raises BadInput when it is none.
        """
        c = deletion.c
        query = select(deletion).order_by(c.started_at.desc(), c.tenant_sha256).limit(limit + 1)
        with self._database.read() as connection:
            if cursor is not None:
                one = select(c.started_at).where(c.tenant_sha256 == cursor)
                last = connection.execute(one).scalar() if _SHA256.fullmatch(cursor) else None
                if last is None:
                    rule = f"cursor must be a previous page's next_cursor, got {cursor[:80]!r}; start without one"
                    raise BadInput("invalid_request", rule)
                later = (c.started_at == last) & (c.tenant_sha256 > cursor)
                query = query.where(or_(c.started_at < last, later))
            rows = connection.execute(query).all()
        return [_record(row) for row in rows[:limit]], rows[limit - 1].tenant_sha256 if len(rows) > limit else None

    def delete(self, tenant_id: str, *, by: str) -> DeletionRecord:
        """Delete a tenant and all that it owns. Returns the receipt; a repeat returns the same one.

        `by` says who asked for it. Files that another tenant's rows refer to too stay. Raises NotFound when there is
        no such tenant, and Conflict `legal_hold`.
        """
        require_id(tenant_id, "tenant")
        receipt = hashlib.sha256(tenant_id.encode()).hexdigest()
        finished = self._begin(tenant_id, receipt, by)
        if finished is not None:
            return finished
        for _ in range(ROUNDS):
            self._delete_shots(tenant_id, receipt)
            self._delete_photos(tenant_id, receipt)
            self._delete_trail(tenant_id, receipt)
            self._delete_rows(tenant_id, receipt)
            try:
                with self._database.write() as connection:
                    connection.execute(delete(tenant).where(tenant.c.id == tenant_id))
                    ended = update(deletion).where(deletion.c.tenant_sha256 == receipt)
                    done = ended.values(finished_at=func.coalesce(deletion.c.finished_at, Now()))
                    row = connection.execute(done.returning(*deletion.c)).one()
                return _record(row)
            except exc.IntegrityError:  # a request that began before the keys went
                continue
        raise Unavailable("not_ready", f"requests of {tenant_id} are still under way; repeat the deletion in a minute")

    def _begin(self, tenant_id: str, receipt: str, by: str) -> DeletionRecord | None:
        """Delete the keys and sessions. Returns the receipt of an earlier deletion that has ended."""
        with self._database.write() as connection:
            row = connection.execute(
                select(tenant.c.legal_hold).where(tenant.c.id == tenant_id).with_for_update()
            ).first()
            if row is None:
                known = connection.execute(select(deletion).where(deletion.c.tenant_sha256 == receipt)).first()
                if known is None:
                    raise absent("tenant", tenant_id)
                return _record(known)
            if row.legal_hold is not None:
                raise Conflict(
                    "legal_hold",
                    f"a tenant under a legal hold must be kept, and {tenant_id} is ({row.legal_hold[:200]}); lift the "
                    "hold with packshot tenants release first",
                )
            new = insert(connection, deletion).values(tenant_sha256=receipt, counts={}, by=by, started_at=Now())
            connection.execute(new.on_conflict_do_nothing())
            keys = connection.execute(delete(api_key).where(api_key.c.tenant_id == tenant_id)).rowcount
            _count(connection, receipt, {"keys": keys})
        return None

    def _delete_shots(self, tenant_id: str, receipt: str) -> None:
        """Delete shots with their images and previews. The worker of a running shot finds that its lease is lost."""
        while True:
            with self._database.write() as connection:
                locked = select(shot.c.id).where(shot.c.tenant_id == tenant_id).limit(BATCH).with_for_update()
                ids = connection.execute(locked).scalars().all()
                pictures = connection.execute(select(*IMAGE_FILES).where(image.c.shot_id.in_(ids))).all()
                delivered, clips = asset_keys_of(connection, ids), clip_keys_of(connection, ids)
                keys = [*files_of(pictures), *delivered, *clips, *job_keys_of(connection, ids)]
                connection.execute(delete(shot).where(shot.c.id.in_(ids)))
                self._references.drop(connection, keys)
                counts = {"shots": ids, "images": pictures, "delivered_files": delivered, "clips": clips}
                _count(connection, receipt, {name: len(rows) for name, rows in counts.items()})
            self._purge(receipt, keys)
            if ids:
                self._delete_previews(ids)
            if len(ids) < BATCH:
                return

    def _delete_previews(self, shot_ids: Any) -> None:
        owners = set(shot_ids)
        for file in list(self._assets.files(PREVIEWS)):  # the folder is small: previews live for an hour
            name = file.key.removeprefix(f"{PREVIEWS}/").removesuffix(".png")
            if name in owners or name.rpartition("-")[0] in owners:
                self._assets.delete(file.key)

    def _delete_photos(self, tenant_id: str, receipt: str) -> None:
        """Delete photos, each with its masks and their cutouts."""
        while True:
            with self._database.read() as connection:
                mine = select(photo.c.id).where(photo.c.tenant_id == tenant_id).limit(BATCH)
                ids = connection.execute(mine).scalars().all()
            for photo_id in ids:
                with self._database.write() as connection:
                    locked = select(photo.c.id).where(photo.c.id == photo_id).with_for_update()
                    if connection.execute(locked).first() is None:
                        continue
                    masks = lock_masks_of(connection, photo_id)
                    keys = self._photos.delete_locked(connection, photo_id)
                    _count(connection, receipt, {"photos": 1, "masks": len(masks)})
                self._purge(receipt, keys)
            if len(ids) < BATCH:
                return

    def _delete_trail(self, tenant_id: str, receipt: str) -> None:
        lines = delete_trail(self._database, tenant_id)
        with self._database.write() as connection:
            _count(connection, receipt, {"audit_events": lines})

    def _delete_rows(self, tenant_id: str, receipt: str) -> None:
        """Delete the rows of every other table that names the tenant, those that refer to others first."""
        own_ways = {shot, photo, image, mask, audit_event, audit_chain}  # of these, nothing is left but what cascades
        for table in reversed(metadata.sorted_tables):
            if "tenant_id" not in table.c or table in own_ways:
                continue
            with self._database.write() as connection:
                removed = delete(table).where(table.c.tenant_id == tenant_id).returning(*table.c)
                rows = connection.execute(removed).all()
                keys = [key for row in rows for key in (row._mapping[name] for name in _files_of(table)) if key]
                self._references.drop(connection, keys)
                _count(connection, receipt, {"keys" if table is api_key else f"{table.name}s": len(rows)})
            self._purge(receipt, keys)
            if table is upload:
                for row in rows:
                    self._assets.delete(upload_key(row.id))

    def _purge(self, receipt: str, keys: Any) -> None:
        files = self._references.purge(keys)
        if files:
            with self._database.write() as connection:
                _count(connection, receipt, {"files": files})


def _count(connection: Connection, receipt: str, more: Mapping[str, int]) -> None:
    """Add to the counts of a receipt."""
    more = {kind: count for kind, count in more.items() if count}
    if not more:
        return
    mine = deletion.c.tenant_sha256 == receipt
    counts = dict(connection.execute(select(deletion.c.counts).where(mine).with_for_update()).scalar_one())
    for kind, count in more.items():
        counts[kind] = counts.get(kind, 0) + count
    connection.execute(update(deletion).where(mine).values(counts=counts))


def _files_of(table: Table) -> list[str]:
    """The columns of a table that refer to a file."""
    return [column.name for column in table.c if any(key.column.table is asset for key in column.foreign_keys)]


def _record(row: Row[Any]) -> DeletionRecord:
    return DeletionRecord(
        tenant_sha256=row.tenant_sha256,
        counts=row.counts,
        by=row.by,
        started_at=moment(row.started_at),
        finished_at=moment_or_none(row.finished_at),
    )
