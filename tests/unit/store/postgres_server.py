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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url, text

from packshot.store.database import open_engine
from packshot.store.schema import metadata


def empty(database_url: str) -> None:
    """Delete every row of a migrated database."""
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} CASCADE"))
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
def postgres_server(max_connections: int = 60) -> Iterator[str]:
    """Yields the SQLAlchemy URL of a new server's empty database. Raises NoPostgres when no server can be started."""
    folder = binaries()
    user = None
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            raise NoPostgres("running as root, and there is no `postgres` user to run the server as") from None
    home = Path(tempfile.mkdtemp(prefix="packshot-pg-"))  # short: a socket's path has at most 107 bytes

    def run(program: str, *arguments: str) -> None:
        with (home / "log").open("ab") as log:
            done = subprocess.run(
                [folder / program, *arguments],
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
            raise RuntimeError(f"{program} failed:\n{(home / 'log').read_text()}")

    try:
        if user:
            os.chown(home, user.pw_uid, user.pw_gid)
        run("initdb", "-D", f"{home}/data", "-U", "packshot", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {home} -c listen_addresses= -c fsync=off -c shared_buffers=16MB -c autovacuum=off"
        options += f" -c max_connections={max_connections}"
        run("pg_ctl", "-D", f"{home}/data", "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://packshot@/postgres?host={home}"
        finally:
            run("pg_ctl", "-D", f"{home}/data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
