"""The store's database: transactions on SQLite and PostgreSQL, and the conversion of the drivers' errors."""

from __future__ import annotations

import json
import logging
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
from packshot.store.circuit_breaker import DOES_NOT_ANSWER, CircuitBreaker
from packshot.store.postgresql import ConnectionLimits, open_postgresql

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 30.0
_ID = re.compile(r"[a-z]{2}_[A-Za-z0-9_-]{1,64}")


class Database:
    """The connection pool that every part of the store shares.

    Get connections from `read()` and `write()` only. Both may be called from any thread.
    """

    def __init__(self, url: str, limits: ConnectionLimits | None = None) -> None:
        self.url = url
        self._breaker = CircuitBreaker()
        self.engine = open_engine(url, limits, self._breaker)
        # A read sees one snapshot. On SQLite it begins deferred, so that it neither waits for a writer nor blocks one.
        if self.engine.dialect.name == "sqlite":
            self._reader = self.engine.execution_options(packshot_read=True)
        else:
            self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ")

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction on one snapshot. Raises Unavailable when the database does not answer."""
        with translated(), self._breaker.connect(self._reader) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction, which commits when the block ends without an exception.

        Raises Unavailable when the database does not answer and StorageFull when its disk is full.
        """
        with translated(), self._breaker.connect(self.engine) as connection, connection.begin():
            yield connection


def open_engine(
    database_url: str, limits: ConnectionLimits | None = None, breaker: CircuitBreaker | None = None
) -> Engine:
    """Make an engine for a `sqlite://` file or a `postgresql://` URL. None keeps the default `limits`.

    `breaker` is the one through which the caller takes the engine's connections, if it has one.

    Raises BadInput `bad_usage` for another URL.
    """
    limits = limits or ConnectionLimits()
    try:
        url = make_url(database_url)
    except exc.ArgumentError as error:
        rule = "PACKSHOT_DATABASE_URL must be a URL such as postgresql://user@host/database, got one without a scheme"
        raise BadInput("bad_usage", f"{rule}; correct it") from error
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
        return open_postgresql(url, limits, breaker or CircuitBreaker(), json_serializer=to_json)
    raise BadInput(
        "bad_usage", f"PACKSHOT_DATABASE_URL must be sqlite:// or postgresql://, got {backend}://; use one of these"
    )


def sqlite_file(database_url: str) -> Path | None:
    """The file of a SQLite URL, or None for another database."""
    url = make_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _configure_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions; _begin_sqlite does
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    _enter_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging. SQLite's busy timeout does not apply to this pragma, hence the loop."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at the start, so that a write never fails half-way because of a stale snapshot.
    reading = connection.get_execution_options().get("packshot_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
    if not reading:  # for this transaction only: a photo's row is written before its asset's row
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")


@contextmanager
def translated() -> Iterator[None]:
    """Convert the driver's errors to Unavailable, or to StorageFull when the database's disk is full.

    Other errors of the driver, such as that of a broken constraint, are not converted: they are faults of the caller.
    """
    try:
        yield
    except exc.DBAPIError as error:
        if _disk_is_full(error.orig):
            raise StorageFull(
                "storage_full", "the database's disk is full; delete photos or shots, or add disk"
            ) from error
        if not (isinstance(error, exc.OperationalError) or error.connection_invalidated or _is_standby(error.orig)):
            raise
        log.warning("the database did not answer: %s", error.orig)
        raise Unavailable("not_ready", DOES_NOT_ANSWER) from error
    except exc.TimeoutError as error:
        raise Unavailable("not_ready", "every database connection of this process is in use; try again") from error


def _disk_is_full(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return getattr(error, "sqlstate", None) == "53100"


def _is_standby(error: BaseException | None) -> bool:
    """Whether the server takes reads only, as the former primary does after a failover, or ended an idle session."""
    return getattr(error, "sqlstate", None) in ("25006", "25P03")


def to_json(value: Any) -> str:
    """Serialise to canonical JSON: equal values give equal texts.

    Raises BadInput `invalid_json` for NaN, infinity and types that JSON does not have.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInput("invalid_json", f"a stored value must be JSON: {error}") from error


def storable(text: str) -> str:
    """The text without characters that a database cannot store. Details of errors may quote arbitrary text."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """The dialect's INSERT statement, which supports ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def new_id(prefix: str) -> str:
    """A random, URL-safe id: 120 random bits after a prefix for the kind of object."""
    return f"{prefix}_{secrets.token_urlsafe(15)}"


def is_id(value: str) -> bool:
    """Whether `value` has the form of an id. Other text (NUL, lone surrogates) must not reach the driver."""
    return _ID.fullmatch(value) is not None


def require_id(value: str, what: str) -> None:
    """Raise NotFound when `value` does not have the form of an id. `what` names the kind of object."""
    if not is_id(value):
        raise absent(what, value)


def absent(what: str, value: str) -> NotFound:
    """The same error for an object that does not exist, was deleted, or belongs to another tenant."""
    return NotFound("not_found", f"no {what} {value[:80]!r} exists; it may have expired or been deleted")


def moment(seconds: float) -> datetime:
    """Convert seconds since 1970 to an aware UTC datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_or_none(seconds: float | None) -> datetime | None:
    """Convert seconds since 1970 to an aware UTC datetime; None stays None."""
    return None if seconds is None else moment(seconds)
