"""Directors are killed at random moments: no shot is lost, none is done twice, none fails for another's fault.

A director is killed only while it holds shots. `step_s` makes the shots last until the last kill.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import func, select

from packshot.settings import Settings
from packshot.store.migrate import migrate
from packshot.store.schema import image, shot
from packshot.store.schema_audit import audit_event
from packshot.store.store import Store
from tests.debian_tools import missing
from tests.unit.store.killed_director import LEASE_S
from tests.unit.store.postgres_server import NoPostgres, empty, postgres_server
from tests.unit.store.store_rows import add_shots

DIRECTORS = 8


@pytest.fixture(scope="module")
def own_server() -> Iterator[str]:
    try:
        with postgres_server() as url:
            migrate(url)
            yield url
    except NoPostgres as reason:
        missing("postgres", str(reason))


class Directors:
    """`count` processes that direct shots. Each has a name of its own, so that a dead one is not taken for its heir."""

    def __init__(self, database_url: str, home: Path, count: int, step_s: float) -> None:
        self._arguments = (database_url, str(home))
        self._log = home / "directors.log"
        self._step_s = step_s
        self._started = 0
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        self._started += 1
        name = f"d{self._started}"
        command = [sys.executable, "-m", "tests.unit.store.killed_director", *self._arguments, name, str(self._step_s)]
        with self._log.open("ab") as log:
            self._running[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill_one(self, busy: set[str], chance: random.Random) -> bool:
        """Kill one of the living directors that are `busy`, and start another. Returns False when none is."""
        victims = sorted(busy & set(self._running))
        if victims:
            self._end(chance.choice(victims))
            self._start()
        return bool(victims)

    def _end(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for name in list(self._running):
            self._end(name)


@pytest.mark.parametrize(
    ("shots", "kills", "count", "step_s"),
    [
        (24, 6, 3, 0.05),
        pytest.param(300, 100, DIRECTORS, 1.0, marks=pytest.mark.soak),
        pytest.param(2000, 200, DIRECTORS, 0.5, marks=pytest.mark.soak),
    ],
)
@pytest.mark.timeout(3600)
def test_shots_survive_directors_that_are_killed(
    own_server: str, tmp_path: Path, shots: int, kills: int, count: int, step_s: float
) -> None:
    chance = random.Random(shots)
    settings = Settings(home=tmp_path, database_url=own_server, max_queued_shots=shots)
    empty(own_server)
    store = Store.from_settings(settings)
    try:
        tenant = store.tenants.get_or_create("brand")
        accepted = add_shots(store, tenant, shots, images=2)
        began = time.monotonic()
        killed = 0
        with Directors(own_server, tmp_path, count, step_s) as directors:
            while killed < kills and unended(store):
                time.sleep(chance.uniform(0, 0.2))
                killed += directors.kill_one(workers(store), chance)
            wait_until(lambda: not unended(store), 1800)
        taken_s = time.monotonic() - began
        chain = store.audit.check(tenant.id)
        with store.database.read() as connection:
            rows = connection.execute(select(shot.c.id, shot.c.status, shot.c.attempt, shot.c.crashes)).all()
            pictures = connection.execute(
                select(image.c.shot_id, image.c.index, func.count()).group_by(image.c.shot_id, image.c.index)
            ).all()
            made = select(audit_event.c.object_id).where(audit_event.c.action == "image.made")
            recorded = Counter(connection.execute(made).scalars())
            interruptions = connection.execute(select(func.sum(shot.c.interruptions))).scalar_one()
    finally:
        store.close()
    print(f"\n{shots} shots, {count} directors, {killed} SIGKILLs, {interruptions} interruptions, {taken_s:.0f} s")
    assert killed == kills
    assert {row.id for row in rows} == set(accepted)
    assert Counter((row.status, row.attempt, row.crashes) for row in rows) == {("done", 1, 0): shots}
    assert Counter(row[2] for row in pictures) == {1: 2 * shots}
    assert (len(recorded), set(recorded.values())) == (2 * shots, {1}), "each picture once in the audit trail"
    assert (chain.lines, chain.broken_at) == (3 * shots, None)


def unended(store: Store) -> int:
    counts = store.queue.counts()
    return counts["queued"] + counts["running"]


def workers(store: Store) -> set[str]:
    """The names of the directors that hold a shot now."""
    with store.database.read() as connection:
        return set(connection.execute(select(shot.c.worker).where(shot.c.status == "running")).scalars())


def wait_until(holds: Callable[[], bool], timeout_s: float = 120.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(LEASE_S / 30)
