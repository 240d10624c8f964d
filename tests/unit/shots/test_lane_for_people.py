"""The lane for people: catalogue shots never take all places of a director, and take theirs again when one is free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from packshot.contract.shot_spec import Canvas, ShotSpec
from packshot.settings import Settings
from packshot.shots import Director
from packshot.store.store import Store
from packshot.types import Framing
from tests.unit.shots.painter import Painter, accepted, now


class Counted(Painter):
    """Counts the shots that came."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, held=True)
        self.came = asyncio.Semaphore(0)

    def framing_of(self, canvas: Canvas, engine: str = "") -> Framing:
        self.came.release()
        return super().framing_of(canvas, engine)


async def test_a_persons_shot_finds_a_place_beside_a_catalogue(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    catalogue = [accepted(store, spec_for(priority="catalogue", seed=seed)) for seed in range(5)]
    held = Counted(store)
    director = Director(store, held, settings, worker="w", places=4)
    runs = [asyncio.create_task(director.run_next()) for _ in range(4)]
    done, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
    assert [run.result() for run in done] == [None], "the fourth call claims no catalogue shot"
    for _ in range(3):
        await held.came.acquire()
    assert (director.catalogue_room, director.worth_trying(4)) == (0, 1)
    person = accepted(store, spec_for())
    mine = asyncio.create_task(director.run_next())
    await held.came.acquire()
    held.let_go.set()
    assert await mine == person
    assert {await run for run in runs} == {*catalogue[:3], None}
    assert director.catalogue_room == 3
    assert await director.run_next() == catalogue[3]
    assert now(store, catalogue[4]).status == "queued"


async def test_a_director_of_one_place_still_runs_catalogues(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    shot = accepted(store, spec_for(priority="catalogue"))
    assert await Director(store, Painter(store), settings, worker="w", places=1).run_next() == shot
