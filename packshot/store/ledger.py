"""Who holds which asset: reference counts in the database, files in the asset root.

A file is deleted only under the lock of its row at refs = 0, and whoever takes a reference looks under the same lock
whether the file is still there. So neither a crash nor a race leaves a row without its file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from sqlalchemy import Connection, delete, select, update

from packshot.store.database import Database, insert
from packshot.store.schema import Now, asset

log = logging.getLogger(__name__)


class Ledger(Database):
    """Holds and drops references. Callers touch assets last in a transaction, so that locks are always taken in one order."""

    def _put_all(self, contents: Iterable[bytes], suffix: str = ".png") -> dict[str, bytes]:
        """Write the files before their transaction: key -> bytes."""
        return {self.assets.put(data, suffix): data for data in contents}

    def _hold(self, connection: Connection, keys: Iterable[str], files: dict[str, bytes]) -> None:
        """Take one reference for each of `keys` (repeats count); `files` are their bytes."""
        for key, count in sorted(Counter(keys).items()):
            data = files[key]
            statement = insert(connection, asset).values(key=key, bytes=len(data), refs=count, created_at=Now())
            connection.execute(
                statement.on_conflict_do_update(index_elements=[asset.c.key], set_={"refs": asset.c.refs + count})
            )
            if not self.assets.exists(key):  # deleted between our put and this lock
                self.assets.put(data, "." + key.rpartition(".")[2])

    def _drop(self, connection: Connection, keys: Iterable[str]) -> None:
        """Give references back. Call `_purge` with the same keys once the transaction is committed."""
        for key, count in sorted(Counter(keys).items()):
            connection.execute(update(asset).where(asset.c.key == key).values(refs=asset.c.refs - count))

    def _purge(self, keys: Iterable[str]) -> int:
        """Delete the files that nobody holds; what fails is left to the sweep. Gives the number deleted."""
        deleted = 0
        for key in sorted(set(keys)):
            with self.write() as connection:
                locked = select(asset.c.refs).where(asset.c.key == key).with_for_update()
                refs = connection.execute(locked).scalar_one_or_none()
                if refs is None or refs > 0:
                    continue
                try:
                    self.assets.delete(key)
                except OSError as error:
                    log.warning("asset %s could not be deleted, the sweep will try again: %s", key, error)
                    continue
                connection.execute(delete(asset).where(asset.c.key == key))
                deleted += 1
        return deleted
