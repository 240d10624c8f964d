"""An outage of the database or the storage ends no accepted shot, and counts no attempt."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from packshot.contract.shot_spec import ShotSpec
from packshot.errors import Interrupted, Overloaded, StorageFull, Unavailable
from packshot.settings import Settings
from packshot.shots import Director, Finished, Painted, Prepared, director
from packshot.store import database
from packshot.store.queue_changes import MAX_INTERRUPTIONS
from packshot.store.records import Claim, NewImage, ShotRecord
from packshot.store.store import Store
from tests.quick_stages import direct_the_rest
from tests.unit.shots.painter import Painter, accepted, expire_leases, make_due, now

OUTAGES = [
    Unavailable("not_ready", "the database did not answer"),
    StorageFull("storage_full", "the disk is full"),
    Overloaded("busy", "every worker is busy"),
]


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """Another process holds SQLite's write lock."""
    file = database.sqlite_file(store.database.url)
    assert file is not None
    blocker = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        blocker.execute("BEGIN IMMEDIATE")
        yield
        blocker.execute("ROLLBACK")
    finally:
        blocker.close()


async def test_shots_outlive_a_database_that_is_locked_longer_than_their_lease(
    tmp_path: Path, spec_for: Callable[..., ShotSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a lease of 30 s, a busy timeout of 30 s and a lock of 45 s, in a thirtieth of the time."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 1.0)
    monkeypatch.setattr(director, "PROGRESS_EVERY_S", 0.05)
    settings = Settings(home=tmp_path, heartbeat_s=0.1, lease_s=1.0)
    with closing(Store.from_settings(settings)) as opened:
        shots = [accepted(opened, spec_for(images=1)) for _ in range(8)]
        painter = Painter(opened, held=True)

        async def work(name: str) -> None:
            """Run a shot; another one where the lease of the first ran out before the lock, as on a busy machine."""
            one = Director(opened, painter, settings, worker=name)
            while len(painter.alone) < 8:
                with suppress(Unavailable):  # the claims of eight may be locked for longer than a second, too
                    await one.run_next()
                await asyncio.sleep(0.05)

        runs = [asyncio.create_task(work(f"w{n}")) for n in range(8)]
        await until(lambda: len(painter.alone) >= 8)
        with locked(opened):
            painter.let_go.set()
            await asyncio.sleep(1.5)
        await asyncio.gather(*runs)
        # Eight that go on with leases of a second would take each other's shots for ever, where a second is short.
        await direct_the_rest([Director(store, painter, store.settings, worker="patient")], store, shots)
        ended = [now(opened, shot) for shot in shots]
    assert [(shot.status, shot.attempt, len(shot.images)) for shot in ended] == [("done", 1, 1)] * 8


async def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds()`; a test that waits too long is stopped by its timeout."""
    while True:
        if holds():
            return
        await asyncio.sleep(0.01)


class Failing:
    """A method of the store's queue that raises `error` in its first `times` calls."""

    def __init__(self, method: Callable[..., object], error: Exception, times: int) -> None:
        self.left = times
        self.calls = 0
        self._method, self._error, self._lock = method, error, threading.Lock()

    def __call__(self, *args: object, **named: object) -> object:
        with self._lock:
            self.calls += 1
            self.left -= 1
            if self.left >= 0:
                raise self._error
        return self._method(*args, **named)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(director, "RETRY_S", 0.01)
    monkeypatch.setattr(director, "PROGRESS_EVERY_S", 0.01)


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: error.code)
@pytest.mark.parametrize("method", ["heartbeat", "commit"])
@pytest.mark.usefixtures("quick")
async def test_a_heartbeat_or_commit_is_tried_again(
    store: Store,
    settings: Settings,
    spec_for: Callable[..., ShotSpec],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    error: Exception,
) -> None:
    shot = accepted(store, spec_for(images=1))
    failing = Failing(getattr(store.queue, method), error, times=3)
    monkeypatch.setattr(store.queue, method, failing)
    painter = Painter(store, held=True)
    run = asyncio.create_task(Director(store, painter, settings, worker="w").run_next())
    if method == "heartbeat":
        await until(lambda: failing.calls >= 4)
    painter.let_go.set()
    await run
    done = now(store, shot)
    assert (done.status, done.attempt, len(done.images)) == ("done", 1, 1)
    assert failing.calls >= 4


@pytest.mark.usefixtures("quick")
async def test_a_commit_that_waits_for_storage_ends_with_its_lease(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = accepted(store, spec_for(images=1))
    failing = Failing(store.queue.commit, OUTAGES[1], times=10**6)
    monkeypatch.setattr(store.queue, "commit", failing)
    run = asyncio.create_task(Director(store, Painter(store), settings, worker="w").run_next())
    await until(lambda: failing.calls > 0)

    def taken_over() -> bool:
        expire_leases(store)  # each time: a heartbeat may just have extended it
        return store.queue.claim("other") is not None

    await until(taken_over)
    await asyncio.wait_for(run, 120)
    assert (now(store, shot).status, now(store, shot).attempt) == ("running", 1)


@pytest.mark.usefixtures("quick")
async def test_a_shot_that_waits_for_storage_can_be_cancelled(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = accepted(store, spec_for(images=1))
    failing = Failing(store.queue.commit, OUTAGES[1], times=10**6)
    monkeypatch.setattr(store.queue, "commit", failing)
    run = asyncio.create_task(Director(store, Painter(store), settings, worker="w").run_next())
    await until(lambda: failing.calls > 0)
    store.shots.cancel(store.tenants.local().id, shot)
    await asyncio.wait_for(run, 120)
    assert now(store, shot).status == "cancelled"


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: error.code)
async def test_an_outage_of_a_stage_is_no_attempt(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec], error: Exception
) -> None:
    shot = accepted(store, spec_for(images=1))
    faults = [error] * 5
    director_of_five = Director(store, Painter(store, faults=faults), settings, worker="w")
    for _ in faults:
        await director_of_five.run_next()
        assert (now(store, shot).status, now(store, shot).attempt) == ("queued", 0)
        make_due(store)
    await director_of_five.run_next()
    assert (now(store, shot).status, now(store, shot).attempt) == ("done", 1)


async def test_an_outage_longer_than_the_limit_fails_the_shot_with_its_code(
    store: Store, tmp_path: Path, spec_for: Callable[..., ShotSpec]
) -> None:
    settings = Settings(home=tmp_path, max_outage_s=20)
    limited = Store.from_settings(settings)
    try:
        shot = accepted(limited, spec_for(images=1))
        failing = Director(limited, Painter(limited, faults=[OUTAGES[1]] * 9), settings, worker="w")
        states: list[str] = []
        while not states or states[-1] == "queued":
            await failing.run_next()
            states.append(now(limited, shot).status)
            make_due(limited)
        failed = now(limited, shot)
    finally:
        limited.close()
    assert states == ["queued"] * 4 + ["failed"]  # back-offs of 2, 2, 4 and 8 s; the next would pass 20 s
    assert (failed.error_code, failed.error_detail) == ("storage_full", "the disk is full")


async def test_a_preview_that_cannot_be_written_does_not_end_the_shot(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()

    def full(key: str, data: bytes) -> None:
        loop.call_soon_threadsafe(tried.set)
        raise OSError(5, "Input/output error")

    class Waiting(Painter):
        async def finish(self, prepared: Prepared, painted: Painted, spec: ShotSpec, products: Any = None) -> Finished:
            await tried.wait()
            return await super().finish(prepared, painted, spec)

    monkeypatch.setattr(store.assets, "put_at", full)
    shot = accepted(store, spec_for(images=1))
    await Director(store, Waiting(store), settings, worker="w").run_next()
    done = now(store, shot)
    assert (done.status, done.attempt, done.preview_version) == ("done", 1, 0)


async def test_an_interrupted_shot_counts_no_attempt_and_no_crash(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    painter = Painter(store, faults=[Interrupted("the node was drained")] * 20)
    drained = Director(store, painter, settings, worker="w")
    for _ in range(MAX_INTERRUPTIONS):
        await drained.run_next()
        assert (now(store, shot).status, now(store, shot).attempt) == ("queued", 0)
        make_due(store)
    await drained.run_next()
    assert (now(store, shot).status, now(store, shot).attempt) == ("done", 1)
    assert not any(painter.alone)


async def test_a_shot_that_is_interrupted_too_often_fails(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(images=1))
    painter = Painter(store, faults=[Interrupted("the node was drained")] * 30)
    drained = Director(store, painter, settings, worker="w")
    for _ in range(MAX_INTERRUPTIONS + 1):
        await drained.run_next()
        make_due(store)
    failed = now(store, shot)
    assert (failed.status, failed.error_code) == ("failed", "interrupted")


def test_the_back_off_of_an_outage_grows_to_a_minute(store: Store, spec_for: Callable[..., ShotSpec]) -> None:
    shot = accepted(store, spec_for(images=1))
    waits, before = [], 0.0
    for _ in range(8):
        claimed = store.queue.claim("w")
        assert claimed is not None
        store.queue.postpone(claimed, "not_ready", "no")
        make_due(store)
        again = store.queue.claim("w")
        assert again is not None
        waits.append(again.postponed_s - before)
        before = again.postponed_s
        store.queue.release(again)
    assert waits == [2, 2, 4, 8, 16, 32, 60, 60]
    assert now(store, shot).attempt == 0


def test_a_commit_after_its_own_outage_is_one_set_of_images(store: Store, spec_for: Callable[..., ShotSpec]) -> None:
    """A connection that breaks at COMMIT leaves open whether the images are stored: the repeat must find them."""
    shot = accepted(store, spec_for(images=1))
    claimed = store.queue.claim("w")
    assert isinstance(claimed, Claim)

    def commit() -> ShotRecord:
        return store.queue.commit(claimed, [image_of(claimed)])

    assert commit() == commit()
    assert len(now(store, shot).images) == 1


def image_of(claimed: Claim) -> NewImage:
    from tests.unit.store.store_rows import new_image

    assert claimed.attempt == 1
    return new_image()
