"""Which files are in use: reference counts in the database, files in the asset root.

A file is deleted only under the lock of its row at refs = 0. Whoever takes a reference checks under the same lock that
the file is still there. So neither a crash nor a race leaves a row without its file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from packshot.store.assets import Assets
from packshot.store.database import Database, insert
from packshot.store.schema import Now, asset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WrittenFile:
    """A file that is in the asset root, and that no row may refer to yet. `data`: its bytes."""

    key: str
    data: bytes


class AssetReferences:
    """Counts the rows of photos, masks and images that refer to each file.

    Callers take and drop references last in their transaction, so that locks are always taken in the same order.
    """

    def __init__(self, database: Database, assets: Assets) -> None:
        self._database = database
        self._assets = assets

    def write_files(self, contents: Iterable[bytes], suffix: str = ".png") -> list[WrittenFile]:
        """Write files before the transaction that will refer to them, in the order given. Raises StorageFull."""
        return [WrittenFile(self._assets.put(data, suffix), data) for data in contents]

    def take(self, connection: Connection, files: Sequence[WrittenFile]) -> None:
        """Take one reference for each of `files`; a file that comes twice is counted twice."""
        contents = {file.key: file.data for file in files}
        for key, count in sorted(Counter(file.key for file in files).items()):
            data = contents[key]
            statement = insert(connection, asset).values(key=key, bytes=len(data), refs=count, created_at=Now())
            connection.execute(
                statement.on_conflict_do_update(index_elements=[asset.c.key], set_={"refs": asset.c.refs + count})
            )
            if not self._assets.exists(key):  # deleted between the write and this lock
                self._assets.put(data, "." + key.rpartition(".")[2])

    def drop(self, connection: Connection, keys: Iterable[str]) -> None:
        """Give references back. Call `purge` with the same keys once the transaction is committed."""
        for key, count in sorted(Counter(keys).items()):
            connection.execute(update(asset).where(asset.c.key == key).values(refs=asset.c.refs - count))

    def purge(self, keys: Iterable[str]) -> int:
        """Delete those of the files that no row refers to, and return how many were deleted.

        A file that cannot be deleted is left to the next sweep.
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
                    log.warning("asset %s could not be deleted; the next sweep will try again: %s", key, error)
                    continue
                connection.execute(delete(asset).where(asset.c.key == key))
                deleted += 1
        return deleted

    def purge_unused(self) -> int:
        """`purge` for every file whose last reference was dropped."""
        with self._database.read() as connection:
            unused = connection.execute(select(asset.c.key).where(asset.c.refs <= 0)).scalars().all()
        return self.purge(unused)

    def purge_orphans(self, keys: Sequence[str]) -> int:
        """Delete those of the files that have no row at all: their transaction was never committed."""
        with self._database.write() as connection:
            known = set(connection.execute(select(asset.c.key).where(asset.c.key.in_(keys))).scalars())
            orphans = sorted(set(keys) - known)
            for key in orphans:  # a row to lock, so that nobody takes a reference while the file goes
                row = insert(connection, asset).values(key=key, bytes=0, refs=0, created_at=Now())
                connection.execute(row.on_conflict_do_nothing())
        return self.purge(orphans)
