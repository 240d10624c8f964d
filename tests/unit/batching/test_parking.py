"""Catalogue scenes are parked where they would slow a person's scene, and go on bit-equal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry

from packshot.batching import Policy, RenderBatcher, StepCurve
from packshot.batching import renders as renders_module
from packshot.meter import PrometheusMeter
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.manifest import read_manifest
from packshot.models.packs.pack import Pack
from packshot.settings import Settings
from packshot.types import U8, Brief, EdgeMap, Render, Scene
from tests.tiny_pack import build_tiny_pack

CPU = StepCurve({1: 1.0, 2: 1.5, 4: 2.5, 8: 4.5})
GPU = StepCurve({1: 1.0, 2: 1.05, 4: 1.2, 8: 2.4})


@dataclass
class Waiting:
    interactive: bool = False
    parked_s: float = 0.0
    steps_left: int = 9
    since_s: float = 0.0
    key: int = 0
    rows: int = 1


def test_the_curve_between_and_beyond_what_was_measured() -> None:
    assert [CPU.seconds(rows) for rows in (1, 2, 3, 8, 16)] == [1.0, 1.5, 2.0, 4.5, 9.0]
    assert CPU.slowdown(4, 2) == pytest.approx(2.5 / 1.5)
    with pytest.raises(ValueError, match="at least one measured step"):
        StepCurve({})


@pytest.mark.parametrize(("curve", "sharing"), [(CPU, 0), (GPU, 3)])
def test_as_many_catalogue_scenes_share_as_slow_people_by_at_most_the_bound(curve: StepCurve, sharing: int) -> None:
    person, bulk = Waiting(interactive=True), [Waiting() for _ in range(7)]
    taken, parked = Policy().park([person, *bulk], curve)
    assert (taken, parked) == ([person, *bulk[:sharing]], bulk[sharing:])


def test_catalogue_work_alone_and_aged_catalogue_work_is_not_parked() -> None:
    bulk, person = Waiting(), Waiting(interactive=True)
    assert Policy().park([bulk, bulk], CPU) == ([bulk, bulk], [])
    assert Policy().park([bulk, person], CPU) == ([bulk, person], []), "it overtook the person by its age"
    assert Policy().park([], CPU) == ([], [])


def test_who_was_parked_for_sixty_seconds_shares_and_takes_the_room_of_others() -> None:
    person, patient, fresh = Waiting(interactive=True), Waiting(parked_s=60.0), Waiting(parked_s=59.9)
    assert Policy().park([person, fresh, patient], GPU) == ([person, fresh, patient], [])
    assert Policy().park([person, fresh, patient], CPU) == ([person, patient], [fresh])


def scene(steps: int, seed: int, side: int = 8) -> Scene:
    grey, flat = np.full((side, side, 3), 128, np.uint8), np.full((side, side), 255, np.uint8)
    return Scene(grey, flat, EdgeMap(flat), Brief("on wood", steps=steps, seed=seed, guidance_scale=1.0))


class Clock:
    """Monotonic time that only an engine's calls spend."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


@dataclass
class Row:
    scene: Scene
    index: int = 0
    error: Exception | None = None

    @property
    def steps(self) -> int:
        return self.scene.brief.steps

    @property
    def done(self) -> bool:
        return self.index >= self.steps


class TimedEngine:
    """Spends the clock's seconds by its curve, and notes each step, begin and decode. Seeds below 100 are people's."""

    def __init__(self, clock: Clock, curve: StepCurve) -> None:
        self.clock, self.curve = clock, curve
        self.steps: list[list[int]] = []
        self.begun: list[int] = []
        self.decoded: list[int] = []
        self.at: dict[int, asyncio.Event] = {}

    def batch_key(self, scene: Scene) -> tuple[int, int]:
        return scene.size

    def rows(self, scene: Scene) -> int:
        return 1

    def begin(self, scene: Scene) -> Row:
        self.begun.append(scene.brief.seed)
        return Row(scene)

    def step(self, rows: Sequence[Row], max_rows: int) -> None:
        self.clock.now_s += self.curve.seconds(len(rows))
        self.steps.append([row.scene.brief.seed for row in rows])
        for row in rows:
            row.index += 1

    def preview(self, row: Row) -> U8:
        raise AssertionError("nobody asked for a preview")

    def decode(self, rows: Sequence[Row]) -> list[Render]:
        self.decoded += [row.scene.brief.seed for row in rows]
        return [Render(row.scene.product, row.scene.brief.seed) for row in rows]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(renders_module, "time", clock)
    return clock


def batcher_of(engine: TimedEngine, max_rows: int = 4) -> RenderBatcher[Row]:
    return RenderBatcher(engine, max_rows=max_rows, curve=engine.curve)


async def test_a_persons_scene_waits_for_one_running_step_and_shares_with_nobody(clock: Clock) -> None:
    engine = TimedEngine(clock, CPU)
    registry = CollectorRegistry()
    batcher = RenderBatcher(engine, max_rows=4, curve=CPU, meter=PrometheusMeter(registry))
    begun, parked = asyncio.Event(), []
    bulk = [
        asyncio.create_task(batcher.render(scene(6, 100 + n), lambda *_: begun.set(), interactive=False))
        for n in range(4)
    ]
    await begun.wait()
    steps_before = len(engine.steps)

    def stepped(*_: object) -> None:
        parked.append((batcher.parked_rows, registry.get_sample_value("packshot_denoise_parked_rows")))

    await batcher.render(scene(3, 1), stepped)
    running = engine.steps.index([1]) - steps_before
    assert running <= 1, "it began behind the step that ran"
    assert [step for step in engine.steps if 1 in step] == [[1]] * 3
    assert parked == [(4, 4.0)] * 3
    await asyncio.gather(*bulk)
    assert all(sum(step.count(100 + n) for step in engine.steps) == 6 for n in range(4))
    assert registry.get_sample_value("packshot_denoise_parked_rows") == 0
    batcher.close()


async def test_nobody_is_parked_for_longer_than_the_bound_while_people_come_and_come(clock: Clock) -> None:
    """One more waits without having begun: it is held back for as long, and then begins."""
    engine = TimedEngine(clock, CPU)
    batcher, begun = batcher_of(engine, max_rows=2), asyncio.Event()
    bulk = [
        asyncio.create_task(batcher.render(scene(20, 100 + n), lambda *_: begun.set(), interactive=False))
        for n in range(3)
    ]
    await begun.wait()
    for seed in range(1, 40):
        await batcher.render(scene(8, seed))
        if all(task.done() for task in bulk):
            break
    assert all(task.done() for task in bulk), "people came all the time"
    shared = [step for step in engine.steps if len(step) > 1 and min(step) < 100]
    assert shared, "they share after the bound"
    alone = sum(1 for step in engine.steps if max(step) < 100)
    assert 1.5 * Policy().most_parked_s < alone <= 2 * Policy().most_parked_s + 3, "two at once, then the third one"
    batcher.close()


async def test_a_person_begins_though_catalogue_scenes_of_many_sizes_hold_memory(clock: Clock) -> None:
    engine = TimedEngine(clock, CPU)
    batcher, begun = batcher_of(engine, max_rows=2), asyncio.Event()
    bulk = [
        asyncio.create_task(batcher.render(scene(9, 100 + n, side), lambda *_: begun.set(), interactive=False))
        for n, side in enumerate((8, 16, 24, 8, 16, 24))
    ]
    await begun.wait()
    people = [asyncio.create_task(batcher.render(scene(2, seed))) for seed in (1, 2)]
    await asyncio.gather(*people)
    assert batcher.begun <= 2, "catalogue scenes leave room for a full batch of people"
    before = engine.steps.index([1]) if [1] in engine.steps else engine.steps.index([1, 2])
    assert before <= 2
    await asyncio.gather(*bulk)
    batcher.close()


async def test_a_finished_catalogue_scene_is_decoded_after_the_person_and_never_lost(clock: Clock) -> None:
    engine = TimedEngine(clock, CPU)
    batcher, last = batcher_of(engine), asyncio.Event()

    def at_last(index: int, steps: int, _: object) -> None:
        if index == steps:
            last.set()

    bulk = [asyncio.create_task(batcher.render(scene(2, 100 + n), at_last, interactive=False)) for n in range(2)]
    people = asyncio.create_task(batcher.render(scene(9, 1)))
    await asyncio.gather(people, *bulk)
    assert engine.decoded[0] == 1
    assert sorted(engine.decoded) == [1, 100, 101]
    batcher.close()


async def test_parked_scenes_go_on_bit_equal(tmp_path: Path) -> None:
    """Two catalogue scenes of the real engine, with and without a person in their midst, with and without guidance."""
    folder = build_tiny_pack(tmp_path / "tiny")
    pack = Pack(read_manifest(folder / "manifest.yaml"), folder, Settings())
    torch.set_num_threads(1)
    engine = DiffusionEngine(pack)
    width, height = engine.native
    product, repaint = np.full((height, width, 3), 90, np.uint8), np.full((height, width), 255, np.uint8)

    def real(seed: int, steps: int, guidance: float) -> Scene:
        return Scene(
            product, repaint, EdgeMap(repaint // 2), Brief("on sand", seed=seed, steps=steps, guidance_scale=guidance)
        )

    async def painted(with_person: bool) -> tuple[list[U8], U8 | None, int]:
        batcher: RenderBatcher[Denoising] = RenderBatcher(engine, max_rows=3, curve=StepCurve({1: 1.0, 3: 3.0}))
        halfway, parked = asyncio.Event(), []

        def stepped(index: int, *_: object) -> None:
            if index == 4:
                halfway.set()

        bulk = [
            asyncio.create_task(batcher.render(real(100 + n, 9, 1.0 + n), stepped, interactive=False)) for n in range(2)
        ]
        person = None
        if with_person:
            await halfway.wait()
            done = await batcher.render(real(1, 5, 2.0), lambda *_: parked.append(batcher.parked_rows))
            person = done.render.pixels
        pictures = [(await one).render.pixels for one in bulk]
        batcher.close()
        return pictures, person, max(parked, default=0)

    undisturbed, _, _ = await painted(with_person=False)
    parked, person, rows = await painted(with_person=True)
    assert rows == 3, "both were parked: one row, and two with guidance"
    for one, other in zip(undisturbed, parked, strict=True):
        assert np.array_equal(one, other)
    row = engine.begin(real(1, 5, 2.0))
    while not row.done:
        engine.step([row])
    assert person is not None
    assert np.array_equal(person, engine.decode([row])[0].pixels)
