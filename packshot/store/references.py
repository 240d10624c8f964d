"""Reference counts of files: the counts are in the database, the files in the asset root.

A file is deleted only under the lock of its row, when refs = 0. Code that takes a reference checks under the same lock
that the file still exists. So neither a crash nor a race leaves a row without its file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from packshot.errors import Unavailable
from packshot.store.assets import Assets
from packshot.store.database import Database, absent, insert
from packshot.store.schema import Now, asset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WrittenFile:
    """A file in the asset root that may have no reference yet. `key` is its asset key, `size_bytes` its size.

    `data` are its bytes; None where another process wrote it.
    """

    key: str
    size_bytes: int
    data: bytes | None = None


class AssetReferences:
    """Counts the rows of photos, masks, images and styles that refer to each file.

    Callers take and drop references after all other locks of their transaction, so that the order of locks is fixed.
    """

    def __init__(self, database: Database, assets: Assets) -> None:
        self._database = database
        self._assets = assets

    def write_files(self, contents: Iterable[bytes], suffix: str = ".png") -> list[WrittenFile]:
        """Write files before the transaction that will refer to them. Returns them in the order of `contents`.

        Raises StorageFull when a quota or disk is full.
        """
        return [WrittenFile(self._assets.put(data, suffix), len(data), data) for data in contents]

    def take(
        self,
        connection: Connection,
        files: Sequence[WrittenFile],
        kept: Iterable[str] = (),
        *,
        promised: Sequence[str] = (),
    ) -> None:
        """Take one reference for each item of the lists. A file that is listed twice gets two references.

        `kept` are keys of files that other rows refer to. Raises NotFound when one of them is gone. `promised` are keys
        of files that may be written later, and will then be deleted with their last reference. Raises Unavailable when
        a file that another process wrote was deleted since.
        """
        written = {file.key: file for file in files}
        for key, count in sorted(Counter([*(file.key for file in files), *kept, *promised]).items()):
            if key in promised:
                row = insert(connection, asset).values(key=key, bytes=0, refs=count, created_at=Now())
                connection.execute(
                    row.on_conflict_do_update(index_elements=[asset.c.key], set_={"refs": asset.c.refs + count})
                )
                continue
            if key not in written:
                more = update(asset).where(asset.c.key == key, asset.c.refs > 0).values(refs=asset.c.refs + count)
                if connection.execute(more).rowcount == 0:
                    raise absent("asset", key)
                continue
            file = written[key]
            statement = insert(connection, asset).values(key=key, bytes=file.size_bytes, refs=count, created_at=Now())
            connection.execute(
                statement.on_conflict_do_update(index_elements=[asset.c.key], set_={"refs": asset.c.refs + count})
            )
            if not self._assets.exists(key):  # it was deleted between its write and this lock
                if file.data is None:
                    rule = f"the file {key} must be in the asset root, but it was deleted just now; try again"
                    raise Unavailable("not_ready", rule)
                self._assets.put(file.data, "." + key.rpartition(".")[2])

    def drop(self, connection: Connection, keys: Iterable[str]) -> None:
        """Release one reference for each item of `keys`. Call `purge` with the same keys after the commit."""
        for key, count in sorted(Counter(keys).items()):
            connection.execute(update(asset).where(asset.c.key == key).values(refs=asset.c.refs - count))

    def purge(self, keys: Iterable[str]) -> int:
        """Delete the files of `keys` that have no reference. Returns how many were deleted.

        A file that cannot be deleted now is retried by the next retention sweep.
        """
        deleted = 0
        for key in sorted(set(keys)):
            with self._database.write() as connection:
                locked = select(asset.c.refs).where(asset.c.key == key).with_for_update()
                refs = connection.execute(locked).scalar_one_or_none()
                if refs is None or refs > 0:
                    continue
                try:
                    self._assets.delete(key)
                except OSError as error:
                    log.warning("asset %s could not be deleted; the next sweep will retry: %s", key, error)
                    continue
                connection.execute(delete(asset).where(asset.c.key == key))
                deleted += 1
        return deleted

    def purge_unused(self) -> int:
        """Delete every file whose last reference was released. Returns how many were deleted."""
        with self._database.read() as connection:
            unused = connection.execute(select(asset.c.key).where(asset.c.refs <= 0)).scalars().all()
        return self.purge(unused)

    def purge_orphans(self, keys: Sequence[str]) -> int:
        """Delete the files of `keys` that have no row, because their transaction did not commit. Returns how many."""
        with self._database.read() as connection:
            known = set(connection.execute(select(asset.c.key).where(asset.c.key.in_(keys))).scalars())
        orphans = sorted(set(keys) - known)
        if not orphans:
            return 0
        with self._database.write() as connection:
            for key in orphans:  # `purge` locks this row, so that nobody takes a reference during the deletion
                row = insert(connection, asset).values(key=key, bytes=0, refs=0, created_at=Now())
                connection.execute(row.on_conflict_do_nothing())
        return self.purge(orphans)
