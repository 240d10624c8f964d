"""Upgrade a database to this version's schema. Processes that start together upgrade it once.

A migration expands or contracts. One that expands only adds or loosens, so that older code goes on running; the first
new process applies it. One that contracts removes what older code needs, and names the oldest code that it admits, as
the revision that this code brought (`oldest_code`). No process applies it at its start: `python -m
packshot.store.migrate` does, when no older code runs any more. The database keeps `oldest_code`, so that older code,
which does not know the migration, refuses to start.

So code runs on its own schema, on the one before (a contraction is pending), and on later ones until a contraction.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, make_url, text

from packshot.errors import Unavailable
from packshot.store.database import insert, open_engine, translated
from packshot.store.postgresql import ConnectionLimits
from packshot.store.schema import REVISION, metadata, store_state

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x7061636B73686F74  # "packshot": the advisory lock for migrations on PostgreSQL


def migrate(database_url: str, *, contract: bool = False) -> None:
    """Create or upgrade the schema in one transaction. With `contract`, apply pending contractions, too.

    Raises Unavailable `schema_mismatch` when this code cannot run on the database's schema, and `not_ready` when the
    database does not answer.
    """
    engine = open_engine(database_url, ConnectionLimits(statement_timeout_s=0))  # an index of a large table takes long
    try:
        with translated(), engine.begin() as connection:  # on SQLite the transaction excludes other writers
            if _revision(connection) == REVISION:
                return
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            revision = _revision(connection)  # another process may have upgraded while this one waited
            if revision is None:
                _refuse_foreign(connection)
            if not _knows(revision):
                _require_admission(connection, revision)
            elif target := _target(revision, contract=contract or revision is None):
                upgrade(connection, target)
    except Unavailable as error:
        if error.code != "not_ready":
            raise
        shown = make_url(database_url).render_as_string(hide_password=True)
        rule = f"PACKSHOT_DATABASE_URL must name a database that answers, got {shown}"
        cause = getattr(error.__cause__, "orig", None) or error.detail
        raise Unavailable("not_ready", f"{rule} ({cause}); start that database, or correct the URL") from error
    finally:
        engine.dispose()


def check(engine: Engine) -> None:
    """Raise Unavailable `schema_mismatch` when this code cannot run on the schema as it is."""
    with translated(), engine.begin() as connection:
        revision = _revision(connection)
        if revision != REVISION and (revision is None or not _knows(revision) or _target(revision)):
            _require_admission(connection, revision)


@dataclass(frozen=True)
class _Migration:
    """`oldest_code` is set for a contraction: the revision of the oldest code that may run after it."""

    revision: str
    oldest_code: str | None


def _migrations() -> list[_Migration]:
    """All migrations that this code knows, the first one first."""
    from alembic.script import ScriptDirectory

    scripts = reversed(list(ScriptDirectory(str(FOLDER)).walk_revisions()))
    return [_Migration(script.revision, getattr(script.module, "oldest_code", None)) for script in scripts]


def _knows(revision: str | None) -> bool:
    return revision is None or any(migration.revision == revision for migration in _migrations())


def _target(revision: str | None, *, contract: bool = False) -> str | None:
    """The revision to which a database at `revision` is upgraded now, or None when nothing is to do.

    Raises Unavailable `schema_mismatch` when an expansion waits behind a contraction.
    """
    pending = _migrations()
    if revision is not None:
        pending = pending[[migration.revision for migration in pending].index(revision) + 1 :]
    contractions = [migration.revision for migration in pending if migration.oldest_code]
    if contract or not contractions:
        return pending[-1].revision if pending else None
    first = [migration.revision for migration in pending].index(contractions[0])
    if any(migration.oldest_code is None for migration in pending[first:]):
        remedy = "stop older processes, then run: python -m packshot.store.migrate"
        raise _mismatch(revision, f"migration {contractions[0]} removes what older code needs; {remedy}")
    return pending[first - 1].revision if first else None


def _require_admission(connection: Connection, revision: str | None) -> None:
    """Raise Unavailable `schema_mismatch` unless newer code made the schema, and it still admits this code."""
    if revision == REVISION:
        return
    if revision is None or _knows(revision):
        remedy = "upgrade an older schema with Store.from_settings, or install the version that made the schema"
        raise _mismatch(revision, remedy)
    oldest = None
    if inspect(connection).has_table("store_state"):
        named = text("SELECT value FROM store_state WHERE name = 'oldest_code'")
        oldest = connection.execute(named).scalar_one_or_none()
    if oldest is not None and oldest > REVISION:
        raise _mismatch(
            revision, f"a newer packshot made it, and it needs code of revision {oldest} or newer; install that version"
        )
    log.info("the schema is of revision %s, which admits this code's revision %s", revision, REVISION)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _refuse_foreign(connection: Connection) -> None:
    foreign = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if foreign:
        raise _mismatch(None, f"tables {sorted(foreign)} belong to another program; use a separate database")


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision` in the caller's transaction, and store the oldest code that they admit."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    command.upgrade(config, revision)
    applied = _revision(connection)
    oldest = [one.oldest_code for one in _migrations() if one.oldest_code and one.revision <= (applied or "")]
    if oldest:
        row = insert(connection, store_state).values(name="oldest_code", value=max(oldest))
        connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": max(oldest)}))


def _mismatch(revision: str | None, remedy: str) -> Unavailable:
    found = f"revision {revision}" if revision else "no revision"
    return Unavailable("schema_mismatch", f"the database's schema must be revision {REVISION}, got {found}; {remedy}")


if __name__ == "__main__":
    from packshot.settings import Settings

    migrate(Settings().store_url, contract=True)
