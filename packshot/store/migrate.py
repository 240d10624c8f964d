"""Upgrade a database to this version's schema. Processes that start together upgrade it once."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, make_url, text

from packshot.errors import Unavailable
from packshot.store.database import open_engine, translated
from packshot.store.postgresql import ConnectionLimits
from packshot.store.schema import REVISION, metadata

FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x7061636B73686F74  # "packshot": the advisory lock for migrations on PostgreSQL


def migrate(database_url: str) -> None:
    """Create or upgrade the schema in one transaction.

    Raises Unavailable `schema_mismatch` when the database has an unknown schema, and `not_ready` when it does not
    answer.
    """
    engine = open_engine(database_url, ConnectionLimits(statement_timeout_s=0))  # an index of a large table takes long
    try:
        with translated(), engine.begin() as connection:  # on SQLite the transaction excludes other writers
            if _revision(connection) == REVISION:
                return
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            revision = _revision(connection)  # another process may have upgraded while this one waited
            if revision != REVISION:
                _refuse_unknown(connection, revision)
                upgrade(connection)
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
    """Raise Unavailable `schema_mismatch` when the schema is not this version's."""
    with translated(), engine.begin() as connection:
        revision = _revision(connection)
    if revision != REVISION:
        raise _mismatch(
            revision, "upgrade an older schema with Store.from_settings, or install the version that made the schema"
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _refuse_unknown(connection: Connection, revision: str | None) -> None:
    from alembic.script import ScriptDirectory

    if revision is None:
        foreign = set(inspect(connection).get_table_names()) & set(metadata.tables)
        if foreign:
            raise _mismatch(None, f"tables {sorted(foreign)} belong to another program; use a separate database")
        return
    known = {script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()}
    if revision not in known:
        raise _mismatch(revision, "a newer packshot made it; install that version or a newer one")


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision` in the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    command.upgrade(config, revision)


def _mismatch(revision: str | None, remedy: str) -> Unavailable:
    found = f"revision {revision}" if revision else "no revision"
    return Unavailable("schema_mismatch", f"the database's schema must be revision {REVISION}, got {found}; {remedy}")
