"""A PostgreSQL server whose disk is really full (make soak): accepting is refused, results wait, and nothing is lost.

The disk is a tmpfs, which only root may mount. With full data files the server goes on and refuses writes. With a full
write-ahead log it ends by itself, and an operator starts it again.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from packshot.errors import StorageFull, Unavailable
from packshot.settings import Settings
from packshot.shots import Director, director
from packshot.store.migrate import migrate
from packshot.store.store import Store
from tests.debian_tools import missing
from tests.quick_stages import QuickStages, direct_the_rest
from tests.unit.store.postgres_server import NoPostgres, postgres_server, start_again
from tests.unit.store.store_rows import add_shots

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]
DISK_MIB = 64
HELD = 4
FULL_S = 3.0
"""Seconds for which the disk stays full after the pictures are painted: three leases."""


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of `DISK_MIB`, which the server may write to."""
    folder = Path(tempfile.mkdtemp(prefix="pg-disk-"))  # short, because a socket's path is
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=777", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        folder.rmdir()
        pytest.skip(f"this user may not mount a tmpfs: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture(params=["data", "wal"])
def on_disk(request: pytest.FixtureRequest) -> str:
    """What of the server lies on the disk."""
    return str(request.param)


@pytest.fixture
def full_url(on_disk: str, disk: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pg-rest-") as other:
        os.chmod(other, 0o777)
        home, log = (disk, Path(other)) if on_disk == "data" else (Path(other), disk)
        (home / "home").mkdir()
        try:
            with postgres_server(home=home / "home", initdb=["--waldir", f"{log}/wal", "--wal-segsize=1"]) as url:
                migrate(url)
                yield url
        except NoPostgres as reason:
            missing("postgres", str(reason))


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def write_until_refused(store: Store) -> tuple[list[str], Exception]:
    """Accept shots, beside somebody else's large writes, until the server refuses one. Returns them, and the error."""
    accepted: list[str] = []
    noise = text("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 200000))")
    while True:
        try:
            accepted += add_shots(store, store.tenants.local(), 1)
            with store.database.write() as connection:
                connection.execute(noise)
        except (StorageFull, Unavailable) as error:
            return accepted, error


async def test_nothing_is_lost(
    on_disk: str, full_url: str, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(director, "PROGRESS_EVERY_S", 0.05)
    settings = Settings(home=tmp_path, database_url=full_url, lease_s=1.0, heartbeat_s=0.1)
    store = Store.from_settings(settings)
    try:
        held = add_shots(store, store.tenants.local(), HELD)
        stages = QuickStages(held=True)
        directors = [Director(store, stages, settings, worker=f"w{n}") for n in range(HELD)]
        runs = [asyncio.create_task(one.run_next()) for one in directors]
        while stages.waiting < HELD:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        ballast = fill(disk)
        accepted, refusal = await asyncio.to_thread(write_until_refused, store)
        print(f"{len(accepted)} shots were accepted on the full disk, then: {refusal!r}")
        stages.let_go.set()
        await asyncio.sleep(FULL_S)
        assert not any(run.done() for run in runs), "a result is stored, or given up, on a full disk"
        ballast.unlink()
        if on_disk == "wal":
            start_again(full_url)
        await asyncio.gather(*runs)
        await direct_the_rest(directors, store, held)
        assert len(add_shots(store, store.tenants.local(), 1)) == 1
        while await directors[0].run_next() is not None:
            pass
        tenant = store.tenants.local().id
        ended = [store.shots.get(tenant, shot) for shot in (*held, *accepted)]
    finally:
        store.close()
    assert [(shot.status, shot.attempt, len(shot.images)) for shot in ended] == [("done", 1, 1)] * len(ended)
