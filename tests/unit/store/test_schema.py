"""The schema is migrated once, and another revision is refused. Also the rules for a store's location."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import TypeAdapter
from sqlalchemy import select, text

from packshot.contract.base import Moment
from packshot.errors import BadInput, Unavailable
from packshot.settings import Settings
from packshot.store.assets import Assets
from packshot.store.database import moment, open_engine
from packshot.store.location import refuse_shared_sqlite
from packshot.store.migrate import FOLDER
from packshot.store.schema import REVISION, metadata
from packshot.store.schema_base import Now
from packshot.store.store import Store
from tests.waiting import WAIT_S


def test_the_migrations_end_at_the_tables_of_the_code(store: Store) -> None:
    assert ScriptDirectory(str(FOLDER)).get_heads() == [REVISION]
    with store.database.read() as connection:
        # SQLite defers this one by a pragma: its tables are never rebuilt for it.
        by_pragma = "fk_photo_asset_key" if connection.dialect.name == "sqlite" else None
        options = {"include_object": lambda thing, name, *rest: name != by_pragma}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_time_that_an_answer_shows_is_not_after_the_stored_one(store: Store) -> None:
    with store.database.read() as connection:
        stored = [connection.execute(select(Now())).scalar_one() for _ in range(300)]
    shown = [datetime.fromisoformat(TypeAdapter(Moment).dump_python(moment(at), mode="json")) for at in stored]
    assert [at for at, told in zip(stored, shown, strict=True) if not 0 <= at - told.timestamp() < 1e-3] == []


def test_a_schema_of_a_newer_version_that_excludes_this_one_is_refused(store: Store, settings: Settings) -> None:
    with store.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("INSERT INTO store_state (name, value) VALUES ('oldest_code', '9998')"))
    try:
        openings: list[Callable[[], Store]] = [
            lambda: Store.from_settings(settings),
            lambda: Store(settings.store_url, store.assets, settings),
        ]
        for opening in openings:
            with pytest.raises(Unavailable) as caught:
                opening()
            assert caught.value.code == "schema_mismatch"
            assert "9999" in caught.value.detail
            assert "9998" in caught.value.detail
    finally:
        with store.database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": REVISION})


def test_another_programs_tables_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE shot (id INTEGER)"))
    engine.dispose()
    with pytest.raises(Unavailable, match="another program"):
        Store.from_settings(Settings(home=tmp_path, database_url=url))


def test_a_store_is_not_opened_before_its_schema_exists(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="schema must be revision"):
        Store(f"sqlite:///{tmp_path / 'new.sqlite'}", Assets(tmp_path.as_uri()))


def test_several_starting_at_once_make_one_schema(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")

    def start(_: int) -> str:
        store = Store.from_settings(settings)
        try:
            return store.tenants.local().id
        finally:
            store.close()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 1


def test_several_processes_starting_at_once_make_one_schema(tmp_path: Path) -> None:
    program = (
        "import sys; from packshot.settings import Settings; from packshot.store.store import Store; "
        "print(Store.from_settings(Settings(home=sys.argv[1])).tenants.local().id)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "home")], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {one.communicate(timeout=WAIT_S)[0] for one in started}
    assert [one.returncode for one in started] == [0, 0]
    assert len(answers) == 1


def test_sqlite_keeps_what_it_promised(tmp_path: Path) -> None:
    store = Store.from_settings(Settings(home=tmp_path))
    with store.database.write() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    store.close()


def test_a_reader_neither_waits_for_the_writer_nor_sees_its_work(tmp_path: Path) -> None:
    store = Store.from_settings(Settings(home=tmp_path))
    with store.database.write() as connection:
        connection.execute(text("INSERT INTO tenant (id, name, created_at) VALUES ('tn_1', 'half', 0)"))
        with store.database.read() as reader:
            assert reader.execute(text("SELECT count(*) FROM tenant")).scalar_one() == 0
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/db"])
def test_a_database_that_cannot_keep_shots_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        open_engine(url)


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        Store.from_settings(Settings(home=tmp_path, database_url=f"postgresql://nobody@/none?host={tmp_path}"))
    assert caught.value.code == "not_ready"


SHARED = "postgresql://db/packshot"


@pytest.mark.parametrize(
    ("database_url", "assets_url", "refused"),
    [
        ("", "", "PACKSHOT_DATABASE_URL"),
        ("", "s3://bucket/packshot", "PACKSHOT_DATABASE_URL"),
        (SHARED, "", "PACKSHOT_ASSETS_URL"),
        (SHARED, "file:///srv/assets", "PACKSHOT_ASSETS_URL"),
        (SHARED, "/srv/assets", "PACKSHOT_ASSETS_URL"),
        (SHARED, "s3://bucket/packshot", None),
    ],
)
def test_more_than_one_node_needs_a_shared_store(database_url: str, assets_url: str, refused: str | None) -> None:
    settings = Settings(database_url=database_url, assets_url=assets_url)
    refuse_shared_sqlite(settings, 1)
    if refused is None:
        refuse_shared_sqlite(settings, 3)
    else:
        with pytest.raises(BadInput, match=refused):
            refuse_shared_sqlite(settings, 3)
