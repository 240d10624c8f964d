"""The database under the store: how transactions begin on SQLite and PostgreSQL, and what their errors become."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, exc, make_url
from sqlalchemy.dialects import postgresql, sqlite

from packshot.errors import BadInput, NotFound, StorageFull, Unavailable

BUSY_TIMEOUT_S = 30.0
_ID = re.compile(r"[a-z]{2}_[A-Za-z0-9_-]{1,64}")


class Database:
    """The connection pool that every part of the store shares.

    `read()` and `write()` are the only ways to a connection; both may be called from any thread.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = open_engine(url)
        # A read sees one moment. On SQLite it begins deferred, so that it neither waits for the writer nor blocks it.
        if self.engine.dialect.name == "sqlite":
            self._reader = self.engine.execution_options(packshot_read=True)
        else:
            self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ")

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot. Raises Unavailable when the database does not answer."""
        with translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end. Raises Unavailable, or StorageFull on a full disk."""
        with translated(), self.engine.begin() as connection:
            yield connection


def open_engine(database_url: str) -> Engine:
    """An engine for a file-backed `sqlite://` or a `postgresql://` URL. Raises BadInput for others."""
    url = make_url(database_url)
    backend = url.get_backend_name()
    if backend == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise BadInput(
                "bad_usage",
                "PACKSHOT_DATABASE_URL must name a SQLite file, got one in memory; add a path: sqlite:////path/to/file",
            )
        engine = create_engine(url, json_serializer=to_json, connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend == "postgresql":
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        return create_engine(url, json_serializer=to_json, pool_pre_ping=True)
    raise BadInput(
        "bad_usage", f"PACKSHOT_DATABASE_URL must be sqlite:// or postgresql://, got {backend}://; use one of these"
    )


def sqlite_file(database_url: str) -> Path | None:
    """The file of a SQLite URL, None for other databases."""
    url = make_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _configure_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: _begin_sqlite does
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    _enter_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging; SQLite's busy timeout does not cover this one switch."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # Immediate: a transaction that will write takes the lock first, so it never fails half-way on a stale snapshot.
    reading = connection.get_execution_options().get("packshot_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
    if not reading:  # until this transaction ends: a photo's row is written before its asset's
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")


@contextmanager
def translated() -> Iterator[None]:
    """Raise the driver's errors as ours: Unavailable when the database does not answer, StorageFull on a full disk."""
    try:
        yield
    except exc.OperationalError as error:
        if isinstance(error.orig, sqlite3.OperationalError) and error.orig.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise StorageFull(
                "storage_full", "the database's disk is full; delete photos or shots, or add disk"
            ) from error
        raise Unavailable(
            "not_ready", "the database must answer, but it did not; try again (its error is in the log)"
        ) from error
    except exc.TimeoutError as error:
        raise Unavailable("not_ready", "every database connection of this process is in use; try again") from error


def to_json(value: Any) -> str:
    """Canonical JSON: the same value, the same text. Raises BadInput for what is not JSON (NaN, other types)."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInput("invalid_json", f"a stored value must be JSON: {error}") from error


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """The dialect's INSERT, which knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def new_id(prefix: str) -> str:
    """A random, URL-safe id: 120 bits behind a prefix that says what it names."""
    return f"{prefix}_{secrets.token_urlsafe(15)}"


def is_id(value: str) -> bool:
    """Whether `value` can be an id at all: a NUL or a lone surrogate never reaches the driver."""
    return _ID.fullmatch(value) is not None


def require_id(value: str, what: str) -> None:
    """Raises NotFound for what cannot be an id."""
    if not is_id(value):
        raise absent(what, value)


def absent(what: str, value: str) -> NotFound:
    """The one answer for what does not exist, was deleted, or is another tenant's."""
    return NotFound("not_found", f"no {what} {value[:80]!r} exists here; it may have been deleted or have expired")


def moment(seconds: float) -> datetime:
    """An aware UTC datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_or_none(seconds: float | None) -> datetime | None:
    """An aware UTC datetime, or None."""
    return None if seconds is None else moment(seconds)
