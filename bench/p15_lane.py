"""P15: the lane for people: how long a person's scene takes beside a running catalogue, with parking and without.

One engine with one thread. A catalogue keeps more scenes on their way than a step has rows. People's scenes arrive one
by one, at a random step of the catalogue's. Times are processor times of this process, so that other work on the
machine does not count. Idle, with parking and without parking take turns in each repeat.

The bound is 1.5 x idle + one step of the catalogue's, at the 95th percentile.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from dataclasses import dataclass, field

import numpy as np

from bench.harness import Row, print_row, timed
from bench.p4_goodput import scene_of
from packshot.batching import Policy, RenderBatcher, StepCurve
from packshot.models.device import model_thread, pick_device, pick_dtype
from packshot.models.engines.denoising import Denoising
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import U8, Scene

ROWS = 8
"""Batch rows of a step: more than this machine's knee, so that there is something to share."""
PEOPLE, REPEATS = 8, 5
PERSON_STEPS, CATALOGUE_STEPS = 10, 20
NEVER = Policy(slowdown=float("inf"))

LANE = Row("P15-lane", "(p95 of a person's scene beside a catalogue - one step) ÷ p95 idle, processor time", 1.5)
OFF = Row("P15-unparked", "the same without parking; it has no bound", 100.0)
COST = Row(
    "P15-cost", "catalogue row-steps a second while a person is there, with parking ÷ without", 0.0, at_least=True
)


@dataclass
class Side:
    """What one way of sharing gave: seconds of each person's scene, and the catalogue's row-steps and seconds."""

    people_s: list[float] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    pictures: list[U8] = field(default_factory=list)


class Catalogue:
    """Keeps `count` catalogue scenes on their way, each with its own seed, until it is stopped."""

    def __init__(self, batcher: RenderBatcher[Denoising], engine: DiffusionEngine, count: int) -> None:
        self._batcher, self._engine = batcher, engine
        self.steps, self._stepped = 0, asyncio.Event()
        self._tasks = [asyncio.create_task(self._paint(1000 * place)) for place in range(count)]

    async def _paint(self, seed: int) -> None:
        while True:
            seed += 1
            await self._batcher.render(
                scene_of(self._engine, CATALOGUE_STEPS, seed), lambda *_: self._count(), interactive=False
            )

    def _count(self) -> None:
        self.steps += 1
        self._stepped.set()

    async def wait(self, steps: int) -> None:
        """Until it has taken so many more steps."""
        until = self.steps + steps
        while self.steps < until:
            self._stepped.clear()
            await self._stepped.wait()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def measure(side: Side, batcher: RenderBatcher[Denoising], people: list[Scene], busy: Catalogue | None) -> None:
    """Paint each person's scene at a random step of the catalogue's, or one after the other."""
    chance = random.Random(7)
    for scene in people:
        if busy is not None:
            await busy.wait(chance.randrange(1, 3 * ROWS))
        steps, began_s = busy.steps if busy else 0, time.process_time()
        side.pictures.append((await batcher.render(scene)).render.pixels)
        side.people_s.append(time.process_time() - began_s)
        side.steps += busy.steps - steps if busy else 0
        side.seconds += side.people_s[-1]


def step_seconds(engine: DiffusionEngine) -> dict[int, float]:
    """The batch curve in processor seconds, the faster of three: a clock would count other work on the machine."""
    scenes = [scene_of(engine, CATALOGUE_STEPS, seed) for seed in range(ROWS // engine.rows(scene_of(engine, 1, 0)))]
    begun = [engine.begin(scene) for scene in scenes]
    engine.step(begun)  # warm up
    counts = sorted({1, 2, len(scenes)} & set(range(1, len(scenes) + 1)))

    def seconds(count: int) -> float:
        return min(timed(lambda: engine.step(begun[:count]), time.process_time) for _ in range(3))

    return {count * engine.rows(scenes[0]): seconds(count) for count in counts}


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def main() -> int:
    """Measure and report."""
    settings = Settings()
    device = pick_device(settings.device)
    thread = model_thread(1)
    pack = find_pack(settings.pack, settings)
    engine = DiffusionEngine(pack, device, pick_dtype(device, settings.dtype), freeze=True)
    measured = thread.submit(step_seconds, engine).result()
    curve = StepCurve(measured)
    sides = {"idle": Side(), "parked": Side(), "unparked": Side()}

    async def run(name: str, repeat: int) -> None:
        people = [scene_of(engine, PERSON_STEPS, 100 * repeat + place) for place in range(PEOPLE)]
        policy = NEVER if name == "unparked" else Policy()
        batcher: RenderBatcher[Denoising] = RenderBatcher(
            engine, max_rows=ROWS, policy=policy, curve=curve, thread=thread
        )
        busy = None if name == "idle" else Catalogue(batcher, engine, 2 * ROWS)
        await measure(sides[name], batcher, people, busy)
        if busy is not None:
            await busy.stop()

    for repeat in range(REPEATS):
        for name in sides:
            asyncio.run(run(name, repeat))
        print(
            f"repeat {repeat + 1}: " + ", ".join(f"{n} {p95(s.people_s):.3f} s" for n, s in sides.items()),
            file=sys.stderr,
        )
    idle, parked, unparked = sides.values()
    step_s = curve.seconds(ROWS)
    worst = max(
        int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(idle.pictures, parked.pictures, strict=True)
    )
    lane = [(p95(side.people_s) - step_s) / p95(idle.people_s) for side in (parked, unparked)]
    rates = [side.steps / side.seconds for side in (parked, unparked)]
    seconds = {name: round(p95(side.people_s), 3) for name, side in sides.items()}
    holds = print_row(
        LANE,
        lane[:1],
        p95_s=seconds,
        step_s=round(step_s, 3),
        rows=ROWS,
        people=len(idle.people_s),
        parity=f"max difference {worst}/255",
        curve={n: round(s, 4) for n, s in measured.items()},
    )
    print_row(OFF, lane[1:])
    print_row(COST, [rates[0] / rates[1]])
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
