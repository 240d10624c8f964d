"""Rows join and leave at steps; a failing or cancelled row leaves alone; sizes take turns."""

import asyncio
import threading
from dataclasses import dataclass

import numpy as np
import pytest

from packshot.batching import RenderBatcher
from packshot.types import Brief, EdgeMap, Render, Scene


def scene(steps=2, seed=0, side=8):
    grey = np.full((side, side, 3), 128, np.uint8)
    flat = np.zeros((side, side), np.uint8)
    return Scene(grey, flat, EdgeMap(flat), Brief("", steps=steps, seed=seed))


@dataclass
class CountingRow:
    scene: Scene
    index: int = 0
    error: Exception | None = None

    @property
    def steps(self):
        return self.scene.brief.steps

    @property
    def done(self):
        return self.index >= self.steps


class CountingEngine:
    """Takes steps by counting; each step waits until the test lets it go, when `gated`."""

    def __init__(self, gated=False):
        self.calls = []
        self.entered, self.go = threading.Semaphore(0), threading.Semaphore(0 if gated else 10**6)

    def batch_key(self, scene):
        return scene.size

    def begin(self, scene):
        if scene.brief.seed == 666:
            raise ValueError("refused at the start")
        return CountingRow(scene)

    def step(self, rows):
        self.calls.append([row.scene.brief.seed for row in rows])
        self.entered.release()
        self.go.acquire()
        for row in rows:
            row.index += 1
            if row.scene.brief.seed == 13 and row.index == 2:
                row.error = ValueError("NaN")

    def preview(self, row):
        return row.scene.product[:1]

    def decode(self, rows):
        return [Render(row.scene.product, row.scene.brief.seed) for row in rows]


async def test_a_row_joins_between_two_steps_of_another():
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=4)
    first = asyncio.create_task(batcher.render(scene(steps=3, seed=1)))
    await asyncio.to_thread(engine.entered.acquire)
    second = asyncio.create_task(batcher.render(scene(steps=1, seed=2)))
    await asyncio.sleep(0)
    engine.go.release(9)
    assert (await first).seed == 1
    assert (await second).seed == 2
    assert engine.calls == [[1], [1, 2], [1]]
    batcher.close()


async def test_a_cancelled_row_is_free_at_the_next_step():
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=1)
    gone = asyncio.create_task(batcher.render(scene(steps=50, seed=1)))
    await asyncio.to_thread(engine.entered.acquire)
    waiting = asyncio.create_task(batcher.render(scene(steps=1, seed=2)))
    await asyncio.sleep(0)
    gone.cancel()
    engine.go.release(9)
    assert (await waiting).seed == 2
    assert engine.calls == [[1], [2]]
    batcher.close()


async def test_a_failing_row_leaves_the_others_alone():
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=8)
    jobs = [batcher.render(scene(steps=3, seed=seed)) for seed in (1, 13, 666, 4)]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [getattr(result, "seed", None) for result in results] == [1, None, None, 4]
    assert str(results[1]) == "NaN"
    assert str(results[2]) == "refused at the start"
    batcher.close()


async def test_sizes_take_steps_in_turn():
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=8)
    jobs = [asyncio.create_task(batcher.render(scene(3, seed, side))) for seed, side in ((1, 8), (2, 16), (3, 8))]
    await asyncio.to_thread(engine.entered.acquire)
    engine.go.release(99)
    await asyncio.gather(*jobs)
    assert engine.calls == [[1, 3], [2]] * 3
    batcher.close()


async def test_progress_comes_after_every_step_with_previews_when_asked():
    seen = []
    batcher = RenderBatcher(CountingEngine(), max_rows=2)
    await batcher.render(scene(steps=3), lambda step, steps, preview: seen.append((step, steps, preview is not None)))
    assert seen == [(1, 3, False), (2, 3, False), (3, 3, False)]
    seen.clear()
    report = lambda step, steps, preview: seen.append((step, preview is not None))  # noqa: E731
    await batcher.render(scene(steps=3), report, preview_every_s=1e-9)
    assert seen == [(1, True), (2, True), (3, False)]
    batcher.close()


async def test_never_more_rows_than_allowed():
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=2)
    await asyncio.gather(*(batcher.render(scene(steps=2, seed=seed)) for seed in range(5)))
    assert max(map(len, engine.calls)) == 2
    assert batcher.rows == 0
    batcher.close()


async def test_a_step_that_raises_fails_its_rows_and_the_batcher_goes_on():
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=2)
    step = engine.step
    engine.step = lambda rows: (_ for _ in ()).throw(RuntimeError("device lost"))
    with pytest.raises(RuntimeError, match="device lost"):
        await batcher.render(scene())
    engine.step = step
    assert (await batcher.render(scene(seed=5))).seed == 5
    batcher.close()


async def test_a_suspect_runs_alone_and_the_others_wait():
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=8)
    jobs = [batcher.render(scene(steps=2, seed=seed), alone=seed == 2) for seed in (1, 2, 3, 4)]
    await asyncio.gather(*jobs)
    assert engine.calls == [[1]] * 2 + [[2]] * 2 + [[3, 4]] * 2
    batcher.close()
