"""Lanes of a director: neither one engine, nor catalogues, nor a sleeping engine hold all its places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from packshot.contract.shot_spec import Background, Canvas, ShotSpec
from packshot.models.packs.served import not_served
from packshot.settings import Settings
from packshot.shots import Director, Painted, Step
from packshot.shots.lanes import Lanes, Running
from packshot.store.queue_order import Engines
from packshot.store.store import Store
from packshot.types import Brief, Framing
from tests.unit.shots.painter import Painter, accepted, make_due, now
from tests.waiting import WAIT_S

ABC = ("a", "b", "c")


def of(engine: str | None, count: int, *, catalogue: bool = False, begun: bool = True) -> list[Running]:
    return [Running(engine, catalogue, begun) for _ in range(count)]


def test_one_engine_has_no_lane_of_its_own() -> None:
    lanes = Lanes(8, ("a",))
    assert not lanes.of_engines
    assert lanes.engines(of("a", 7)) is None
    assert lanes.engines([], elsewhere={"b"}) == Engines(("a",), ("a",))


def test_a_busy_engine_takes_three_quarters() -> None:
    lanes = Lanes(16, ("a", "b"))
    assert lanes.engines(of("a", 11)) is None
    assert lanes.engines(of("a", 12)) == Engines(("b",), ("b",))
    assert lanes.engines([*of("a", 12), *of("b", 3)]) == Engines(("b",), ("b",))


def test_catalogues_leave_room_for_people_of_the_same_engine() -> None:
    found = Lanes(16, ("a", "b")).engines(of("a", 9, catalogue=True))
    assert found == Engines(("a", "b"), ("b",))


def test_a_sleeping_engine_takes_a_quarter_until_it_paints() -> None:
    lanes = Lanes(16, ("a", "b"))
    assert lanes.engines(of("a", 3, begun=False)) is None
    assert lanes.engines(of("a", 4, begun=False)) == Engines(("b",), ("b",))
    assert lanes.engines([*of("a", 4, begun=False), *of("a", 1)]) is None


def test_the_last_places_are_those_of_engines_that_have_nothing_here() -> None:
    lanes = Lanes(4, ABC)
    assert lanes.engines(of("a", 2)) == Engines(("b", "c"), ("b", "c"))
    assert lanes.engines([*of("a", 2), *of("b", 1)]) == Engines(("c",), ("c",))
    assert lanes.engines([*of("a", 2), *of("b", 1), *of("c", 1)]) == Engines((), ())


def test_fewer_places_than_engines_still_take_turns() -> None:
    assert Lanes(1, ABC).engines([]) is None
    assert Lanes(2, ABC).engines(of("a", 1, begun=False)) == Engines(("b", "c"), ("b", "c"))


def test_without_a_number_of_places_there_is_no_limit() -> None:
    assert Lanes(None, ABC).engines(of("a", 99)) is None


class Sleeping(Painter):
    """Paints with the engine `mini` at once, and with `cold` when it is let go. It has no other engine."""

    def __init__(self, store: Store, *, held: bool = False) -> None:
        super().__init__(store, held=held)
        self.woken = asyncio.Event()

    def framing_of(self, canvas: Canvas, engine: str = "") -> Framing:
        if engine not in ("mini", "cold"):
            raise not_served(engine, ("mini", "cold"))
        return super().framing_of(canvas, engine)

    async def paint(self, fitted: Any, edges: Any, brief: Brief, **options: Any) -> AsyncIterator[Step | Painted]:
        if brief.engine == "cold":
            self.woken.set()
            await self.let_go.wait()
        async for update in super().paint(fitted, edges, brief, **options):
            yield update


async def test_shots_of_a_sleeping_engine_do_not_hold_up_those_of_another(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    cold = [accepted(store, spec_for(engine="cold", seed=seed)) for seed in range(6)]
    warm = [accepted(store, spec_for(engine="mini", seed=seed)) for seed in range(6)]
    stages = Sleeping(store, held=True)
    freed = asyncio.Event()
    director = Director(store, stages, settings, worker="w", places=6, engines=("mini", "cold"), freed=freed.set)
    waiting = asyncio.create_task(director.run_next())
    await asyncio.wait_for(stages.woken.wait(), WAIT_S)
    runs = [asyncio.create_task(director.run_next()) for _ in range(5)]
    await asyncio.wait_for(stages.started.wait(), WAIT_S)
    await asyncio.wait_for(freed.wait(), WAIT_S)  # its first step: it may have more places
    states = [now(store, shot).status for shot in cold]
    assert states == ["running", *["queued"] * 5], "one place until it is awake"
    assert now(store, warm[0]).status == "running"
    stages.let_go.set()
    assert await waiting == cold[0]
    ended = [await run for run in runs]
    assert warm[0] in ended
    while (shot := await director.run_next()) is not None:
        ended.append(shot)
    assert {now(store, shot).status for shot in [*cold, *warm]} == {"done"}


async def test_a_shot_of_an_engine_that_is_gone_waits_and_then_fails_with_its_code(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    gone, plain = accepted(store, spec_for(engine="gone")), accepted(store, spec_for(engine="mini"))
    director = Director(store, Sleeping(store), settings, worker="w", places=6, engines=("mini", "cold"))
    assert {await director.run_next() for _ in range(2)} == {gone, plain}
    waits = now(store, gone)
    assert (waits.status, waits.attempt) == ("queued", 0), "the attempt does not count"
    assert now(store, plain).status == "done"
    impatient = Store.from_settings(settings.model_copy(update={"max_outage_s": 1.0}))
    director = Director(impatient, Sleeping(store), settings, worker="w", places=6, engines=("mini", "cold"))
    make_due(store)
    assert await director.run_next() == gone
    impatient.close()
    ended = now(store, gone)
    assert (ended.status, ended.error_code) == ("failed", "engine_not_served")
    assert "must be served (mini, cold), got 'gone'" in (ended.error_detail or "")


async def test_a_shot_of_an_engine_that_another_cluster_serves_is_left_to_it(
    store: Store, settings: Settings, spec_for: Callable[..., ShotSpec]
) -> None:
    theirs = accepted(store, spec_for(engine="cold"))
    white = accepted(store, spec_for(engine="cold", background=Background("white")))
    director = Director(store, Sleeping(store), settings, worker="w", places=6, engines=("mini",))
    director.elsewhere = {"cold"}
    assert await director.run_next() == white, "a plain background needs no engine"
    assert await director.run_next() is None
    director.elsewhere = ()
    assert await director.run_next() == theirs
