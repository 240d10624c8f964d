"""A real PostgreSQL server for a test session: its own folder, its own socket, no port, gone at the end.

Needs only the server's binaries (`pg_config --bindir`, PATH, or /usr/lib/postgresql/*/bin). As root it runs as the
`postgres` user, because PostgreSQL refuses root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import make_url, text

from packshot.store.database import open_engine
from packshot.store.schema import metadata

SMALL_BYTES = 64 * 1024
"""Up to this size a table is emptied row by row: TRUNCATE makes new files for tables and indexes, which
costs five times as much."""


def empty(database_url: str) -> None:
    """Delete every row of a migrated database. Where a table has grown, all get new files: no test reads its pages."""
    engine = open_engine(database_url)
    grown = text("SELECT count(*) FROM pg_class WHERE relname = ANY(:names) AND pg_relation_size(oid) > :bytes")
    with engine.begin() as connection:
        if connection.execute(grown, {"names": list(metadata.tables), "bytes": SMALL_BYTES}).scalar_one():
            connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} CASCADE"))
        else:
            deletions = "".join(f"DELETE FROM {name};" for name in metadata.tables)
            # As a replica it checks no foreign keys, so the tables' order does not matter.
            connection.exec_driver_sql(f"SET LOCAL session_replication_role = replica; {deletions}")
    engine.dispose()


class NoPostgres(Exception):  # a reason to skip, not a fault
    """Raised when no PostgreSQL server can be started here; the message has the reason."""


def new_database(url: str, name: str) -> str:
    """Make an empty database beside that of `url`, without any schema. Returns its URL. An earlier one is dropped."""
    engine = open_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for command in (f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}"):
            connection.execute(text(command))
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def binaries() -> Path:
    """The folder of `initdb` and `pg_ctl`. Raises NoPostgres when there is none."""
    candidates = []
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(told.stdout.strip()))
    if found := shutil.which("pg_ctl"):
        candidates.append(Path(found).resolve().parent)
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise NoPostgres("PostgreSQL's server binaries (initdb, pg_ctl) are not installed")


@contextmanager
def postgres_server(
    max_connections: int = 60, *, initdb: Sequence[str] = (), home: Path | None = None
) -> Iterator[str]:
    """Yields the SQLAlchemy URL of a new server's empty database. Raises NoPostgres when no server can be started.

    `initdb` are further options of that program. `home` is an existing folder for the server; None makes one.
    """
    binaries()
    if home is None:  # in memory where the tests' folders are; a socket's path has 107 bytes at most
        home = Path(tempfile.mkdtemp(prefix="packshot-pg-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    try:
        if user := _user():
            os.chown(home, user.pw_uid, user.pw_gid)
        _run(home, "initdb", "-D", f"{home}/data", "-U", "packshot", "-A", "trust", "-E", "UTF8", "--no-sync", *initdb)
        options = f"-k {home} -c listen_addresses= -c fsync=off -c shared_buffers=16MB -c autovacuum=off"
        options += f" -c max_connections={max_connections}"
        _run(home, "pg_ctl", "-D", f"{home}/data", "-w", "-o", options, "start")
        url = f"postgresql+psycopg://packshot@/postgres?host={home}"
        try:
            yield url
        finally:
            stop(url)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def stop(url: str) -> None:
    """Stop the server of `url` as a power failure does. One that has ended stays so."""
    home = _home(url)
    if (home / "data" / "postmaster.pid").exists():
        _run(home, "pg_ctl", "-D", f"{home}/data", "-w", "-m", "immediate", "stop")


def start_again(url: str) -> None:
    """Start the server of `url` with its options; one that still runs is restarted."""
    home = _home(url)
    _run(home, "pg_ctl", "-D", f"{home}/data", "-w", "-m", "immediate", "restart")


@contextmanager
def hanging(url: str) -> Iterator[None]:
    """The server's processes are stopped (SIGSTOP): they keep their sockets and answer nothing."""
    postmaster = psutil.Process(int((_home(url) / "data" / "postmaster.pid").read_text().splitlines()[0]))
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@contextmanager
def down(url: str) -> Iterator[None]:
    """The server is not running, so connections are refused."""
    stop(url)
    try:
        yield
    finally:
        start_again(url)


def _home(url: str) -> Path:
    return Path(url.partition("host=")[2])


def _user() -> pwd.struct_passwd | None:
    """Whom the server runs as, if not as this user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise NoPostgres("running as root, and there is no `postgres` user to run the server as") from None


def _run(home: Path, program: str, *arguments: str) -> None:
    user = _user()
    with (home / "log").open("ab") as log:
        done = subprocess.run(
            [binaries() / program, *arguments],
            cwd=home,
            env={"LC_ALL": "C"},
            stdout=log,
            stderr=log,
            check=False,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )
    if done.returncode:
        raise RuntimeError(f"{program} failed:\n{(home / 'log').read_text()[-3000:]}")
