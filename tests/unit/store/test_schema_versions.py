"""Code N runs on schema N - 1 and N + 1: beside newer code, after its start, and until a contraction excludes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from packshot.errors import Unavailable
from packshot.settings import Settings
from packshot.store import migrate as migrations
from packshot.store.database import open_engine
from packshot.store.migrate import migrate
from packshot.store.schema import REVISION
from packshot.store.store import Store
from tests.old_code import old_code
from tests.unit.store.postgres_server import new_database
from tests.unit.store.store_rows import add_shots, claim, new_image
from tests.waiting import WAIT_S

BEFORE = "ed7c13bfaf5ac75e226990432c2b1277dbcea966"
"""The last commit whose code knows schema 0008 and nothing later."""

EXPANSION = """
revision, down_revision = "9001", {after!r}
branch_labels = depends_on = None

def upgrade():
    import sqlalchemy as sa
    from alembic import op
    op.add_column("shot", sa.Column("of_the_future", sa.Integer(), nullable=True))
"""
CONTRACTION = """
revision, down_revision = "9002", "9001"
branch_labels = depends_on = None
oldest_code = "9001"

def upgrade():
    from alembic import op
    op.drop_column("shot", "of_the_future")
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of its own, without any schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'versions.sqlite'}"
    return new_database(request.getfixturevalue("postgres_url"), "versions")


class Newer:
    """The migrations of a version to come: ours, an expansion, and then a contraction."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(migrations.FOLDER, folder)
        self._folder, self._monkeypatch = folder, monkeypatch
        self._add("9001_expand.py", EXPANSION.format(after=REVISION))

    def _add(self, name: str, script: str) -> None:
        (self._folder / "versions" / name).write_text(script)

    def start(self, url: str, *, contract: bool = False) -> None:
        """Migrate as a process of that version does."""
        with self._monkeypatch.context() as patched:
            patched.setattr(migrations, "FOLDER", self._folder)
            patched.setattr(migrations, "REVISION", "9001")
            migrate(url, contract=contract)

    def contract_later(self) -> None:
        self._add("9002_contract.py", CONTRACTION)


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Newer:
    return Newer(tmp_path / "migrations", monkeypatch)


def revision_of(url: str) -> str:
    engine = open_engine(url)
    with engine.begin() as connection:
        revision: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    return revision


def test_this_code_starts_and_works_on_a_newer_schema(settings: Settings, database_url: str, newer: Newer) -> None:
    Store.from_settings(settings).close()
    newer.start(database_url)
    assert revision_of(database_url) == "9001"
    store = Store.from_settings(settings)
    try:
        (shot,) = add_shots(store, store.tenants.local(), 1)
        assert store.queue.commit(claim(store), [new_image()]).id == shot
    finally:
        store.close()


def test_a_contraction_waits_for_its_command(settings: Settings, database_url: str, newer: Newer) -> None:
    Store.from_settings(settings).close()
    newer.start(database_url)
    newer.contract_later()
    newer.start(database_url)
    assert revision_of(database_url) == "9001"
    Store.from_settings(settings).close()  # so this code still starts


def test_code_that_a_contraction_excludes_is_refused(settings: Settings, database_url: str, newer: Newer) -> None:
    Store.from_settings(settings).close()
    newer.contract_later()
    newer.start(database_url, contract=True)
    assert revision_of(database_url) == "9002"
    for opening in (lambda: Store.from_settings(settings), lambda: migrate(database_url)):
        with pytest.raises(Unavailable, match="revision 9001 or newer; install that version") as caught:
            opening()
        assert caught.value.code == "schema_mismatch"


def test_an_expansion_behind_a_contraction_is_refused_with_the_command(
    settings: Settings, database_url: str, newer: Newer
) -> None:
    Store.from_settings(settings).close()
    newer.contract_later()
    newer._add("9003_expand.py", EXPANSION.format(after="9002").replace("9001", "9003").replace("of_the", "beyond_the"))
    with pytest.raises(Unavailable, match=r"python -m packshot\.store\.migrate"):
        newer.start(database_url)
    newer.start(database_url, contract=True)
    assert revision_of(database_url) == "9003"


OLD_PROCESS = """
import json, sys
from packshot.settings import Settings
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, claim, new_image, tamper

store = Store.from_settings(Settings())
tenant = store.tenants.local()
ids = add_shots(store, tenant, 2)
first = claim(store)
print("ready", flush=True)
sys.stdin.readline()  # the schema is upgraded meanwhile
store.queue.heartbeat(first, step=1, steps=4)
done = store.queue.commit(first, [new_image()])
ids += add_shots(store, tenant, 2)
second = claim(store)
store.queue.fail(second, "engine_out_of_memory", "too big", retryable=True)
third = claim(store)
store.queue.release(third)
print(json.dumps({"ids": ids, "done": done.status, "counts": store.queue.counts()}), flush=True)
"""


def test_a_process_of_the_version_before_goes_on_after_the_upgrade(
    settings: Settings, database_url: str, code_before: Path
) -> None:
    environment = {
        "PYTHONPATH": str(code_before),
        "PACKSHOT_DATABASE_URL": database_url,
        "PACKSHOT_HOME": str(settings.home),
        "PATH": "",
    }
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    old = subprocess.Popen([sys.executable, "-c", OLD_PROCESS], env=environment, cwd=code_before, **pipes)  # type: ignore[call-overload]
    try:
        assert old.stdout.readline() == "ready\n"
        assert revision_of(database_url) == "0008"
        store = Store.from_settings(settings, uses_files=False)
        said = json.loads(old.communicate("go on\n", timeout=WAIT_S)[0])
    finally:
        old.kill()
        old.wait()
    try:
        assert revision_of(database_url) == REVISION
        assert (said["done"], said["counts"]["queued"]) == ("done", 3)
        tenant = store.tenants.local().id
        assert [store.shots.get(tenant, shot).status for shot in said["ids"]] == ["done", *["queued"] * 3]
        mine = claim(store)
        assert store.queue.commit(mine, [new_image()]).status == "done"
    finally:
        store.close()


@pytest.fixture(scope="session")
def code_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before."""
    return old_code(tmp_path_factory.mktemp("old"), BEFORE)
