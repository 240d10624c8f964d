"""Producers and directors are killed at random moments of a catalogue: no row is lost, no picture is painted twice, and
every file is written once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import func, select

from packshot.store.catalogue_tables import catalogue_file
from packshot.store.migrate import migrate
from packshot.store.schema import image, shot
from packshot.store.schema_files import delivered_file
from packshot.store.store import Store
from tests.debian_tools import missing
from tests.unit.catalogue.producing import BOX, add_photo, settings_of, state_of
from tests.unit.store.catalogue_steps import add_catalogue
from tests.unit.store.postgres_server import NoPostgres, empty, postgres_server

SCENES = [{"name": "scene", "values": {"marble": "on marble"}}]


@pytest.fixture(scope="module")
def own_server() -> Iterator[str]:
    try:
        with postgres_server() as url:
            migrate(url)
            yield url
    except NoPostgres as reason:
        missing("postgres", str(reason))


class Workers:
    """Processes of one kind. A killed one is replaced by one with another name."""

    def __init__(self, module: str, arguments: tuple[str, ...], more: tuple[str, ...], count: int, log: Path) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._more = more
        self._log = log
        self._started = 0
        self._running: list[subprocess.Popen[bytes]] = []
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        self._started += 1
        with self._log.open("ab") as log:
            command = [*self._command, f"{self._log.stem}{self._started}", *self._more]
            self._running.append(subprocess.Popen(command, stdout=log, stderr=log))

    def kill_one(self, chance: random.Random) -> None:
        self._end(self._running.pop(chance.randrange(len(self._running))))
        self._start()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        while self._running:
            self._end(self._running.pop())


@pytest.mark.parametrize(
    ("rows", "kills", "each", "step_s"),
    [(12, 1, 1, 0.25), pytest.param(300, 20, 3, 0.02, marks=pytest.mark.soak)],
)
@pytest.mark.timeout(1200)
def test_a_catalogue_survives_producers_and_directors_that_are_killed(
    own_server: str, tmp_path: Path, rows: int, kills: int, each: int, step_s: float
) -> None:
    empty(own_server)
    chance = random.Random(rows)
    settings = settings_of(tmp_path, own_server)
    store = Store.from_settings(settings)
    try:
        tenant = store.tenants.get_or_create(f"brand {rows}")
        photo = add_photo(store, tenant)
        items = [{"sku": f"S{n:04}", "photo": photo.id, "box": BOX} for n in range(rows)]
        deliver = [{"preset": "shopify", "name": "{sku}.{ext}", "to": (tmp_path / "out").as_uri()}]
        look = {"canvas": [128, 128], "steps": 2}
        record = add_catalogue(store, tenant, items, axes=SCENES, deliver=deliver, defaults=look)
        store.catalogues.start(tenant.id, record.id)
        at, killed = (own_server, str(tmp_path)), 0
        producing = Workers("tests.unit.catalogue.producing", at, (), each, tmp_path / "producer.log")
        directing = Workers("tests.unit.store.killed_director", at, (str(step_s),), each, tmp_path / "director.log")
        with producing, directing:
            give_up_at = time.monotonic() + 900
            while state_of(store, record) != "done":
                assert time.monotonic() < give_up_at, store.catalogues.get(tenant.id, record.id).counts
                done = store.catalogues.get(tenant.id, record.id).counts.done
                if killed < kills and done >= rows * 0.3 * (killed + 1) / kills:  # all within the first 30 %
                    (producing if killed % 2 == 0 else directing).kill_one(chance)
                    killed += 1
                time.sleep(0.05)
        counts = store.catalogues.get(tenant.id, record.id).counts
        with store.database.read() as connection:
            mine = shot.c.tenant_id == tenant.id
            statuses = Counter(connection.execute(select(shot.c.status).where(mine)).scalars())
            own_images = image.c.tenant_id == tenant.id
            images = connection.execute(select(func.count()).select_from(image).where(own_images)).scalar_one()
            own_files = delivered_file.c.tenant_id == tenant.id
            made = connection.execute(select(func.count()).select_from(delivered_file).where(own_files)).scalar_one()
            files = connection.execute(
                select(catalogue_file.c.state, func.count())
                .where(catalogue_file.c.catalogue_id == record.id)
                .group_by(catalogue_file.c.state)
            ).all()
    finally:
        store.close()
    assert killed == kills
    assert (counts.done, counts.total) == (rows, rows)
    assert statuses == {"done": rows}
    assert (images, made, [tuple(row) for row in files]) == (rows, rows, [("made", rows)])
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [f"S{n:04}.jpg" for n in range(rows)]
