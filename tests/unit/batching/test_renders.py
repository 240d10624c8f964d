"""Rows join and leave at steps; a failing or cancelled row leaves alone; sizes take turns."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from packshot.batching import RenderBatcher, Rendered
from packshot.errors import EngineFailed
from packshot.types import U8, Brief, EdgeMap, Render, Scene


def scene(steps: int = 2, seed: int = 0, side: int = 8) -> Scene:
    grey = np.full((side, side, 3), 128, np.uint8)
    flat = np.zeros((side, side), np.uint8)
    return Scene(grey, flat, EdgeMap(flat), Brief("", steps=steps, seed=seed, guidance_scale=1.0))


@dataclass
class CountingRow:
    scene: Scene
    index: int = 0
    error: Exception | None = None

    @property
    def steps(self) -> int:
        return self.scene.brief.steps

    @property
    def done(self) -> bool:
        return self.index >= self.steps


class CountingEngine:
    """Takes steps by counting; each step waits until the test lets it go, when `gated`."""

    def __init__(self, gated: bool = False) -> None:
        self.calls: list[list[int]] = []
        self.entered, self.go = threading.Semaphore(0), threading.Semaphore(0 if gated else 10**6)

    def batch_key(self, scene: Scene) -> tuple[int, int]:
        return scene.size

    def rows(self, scene: Scene) -> int:
        return 2 if scene.brief.guidance_scale > 1 else 1

    def begin(self, scene: Scene) -> CountingRow:
        if scene.brief.seed == 666:
            raise ValueError("refused at the start")
        return CountingRow(scene)

    def step(self, rows: Sequence[CountingRow], max_rows: int) -> None:
        self.calls.append([row.scene.brief.seed for row in rows])
        self.entered.release()
        self.go.acquire()
        for row in rows:
            row.index += 1
            if row.scene.brief.seed == 13 and row.index == 2:
                row.error = ValueError("NaN")

    def preview(self, row: CountingRow) -> U8:
        return row.scene.product[:1]

    def decode(self, rows: Sequence[CountingRow]) -> list[Render]:
        return [Render(row.scene.product, row.scene.brief.seed) for row in rows]


async def test_a_row_joins_between_two_steps_of_another() -> None:
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=4)
    first = asyncio.create_task(batcher.render(scene(steps=3, seed=1)))
    await asyncio.to_thread(engine.entered.acquire)
    second = asyncio.create_task(batcher.render(scene(steps=1, seed=2)))
    await asyncio.sleep(0)
    engine.go.release(9)
    assert (await first).render.seed == 1
    assert (await second).render.seed == 2
    assert engine.calls == [[1], [2, 1], [1]]
    batcher.close()


async def test_a_cancelled_row_is_free_at_the_next_step() -> None:
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=1)
    gone = asyncio.create_task(batcher.render(scene(steps=50, seed=1)))
    await asyncio.to_thread(engine.entered.acquire)
    waiting = asyncio.create_task(batcher.render(scene(steps=1, seed=2)))
    await asyncio.sleep(0)
    gone.cancel()
    engine.go.release(9)
    assert (await waiting).render.seed == 2
    assert engine.calls == [[1], [2]]
    batcher.close()


async def test_a_failing_row_leaves_the_others_alone() -> None:
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=8)
    jobs = [batcher.render(scene(steps=3, seed=seed)) for seed in (1, 13, 666, 4)]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [result.render.seed if isinstance(result, Rendered) else None for result in results] == [1, None, None, 4]
    assert str(results[1]) == "NaN"
    assert str(results[2]) == "refused at the start"
    batcher.close()


async def test_sizes_do_not_share_a_step_and_the_oldest_size_goes_first() -> None:
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=8)
    jobs = [asyncio.create_task(batcher.render(scene(3, seed, side))) for seed, side in ((1, 8), (2, 16), (3, 8))]
    await asyncio.to_thread(engine.entered.acquire)
    engine.go.release(99)
    await asyncio.gather(*jobs)
    assert engine.calls == [[1, 3]] * 3 + [[2]] * 3
    batcher.close()


async def test_a_short_scene_overtakes_a_long_one_when_there_is_no_room_for_both() -> None:
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=1)
    long = asyncio.create_task(batcher.render(scene(steps=4, seed=1)))
    await asyncio.to_thread(engine.entered.acquire)
    short = asyncio.create_task(batcher.render(scene(steps=1, seed=2)))
    await asyncio.sleep(0)
    engine.go.release(9)
    await asyncio.gather(long, short)
    assert engine.calls == [[1], [2], [1], [1], [1]]
    batcher.close()


async def test_catalogue_work_waits_for_interactive_work() -> None:
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=1)
    night = asyncio.create_task(batcher.render(scene(steps=2, seed=1), interactive=False))
    await asyncio.to_thread(engine.entered.acquire)
    person = asyncio.create_task(batcher.render(scene(steps=4, seed=2)))
    await asyncio.sleep(0)
    engine.go.release(9)
    await asyncio.gather(night, person)
    assert engine.calls == [[1], [2], [2], [2], [2], [1]]
    batcher.close()


async def test_a_guided_scene_takes_two_rows() -> None:
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=3)
    guided = scene(steps=1, seed=1)
    guided = replace(guided, brief=replace(guided.brief, guidance_scale=2.0))
    await asyncio.gather(*(batcher.render(one) for one in (guided, scene(1, 2), scene(1, 3))))
    assert engine.calls == [[1, 2], [3]]
    batcher.close()


async def test_a_step_out_of_memory_is_taken_again_by_half_as_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=8)
    step = engine.step

    def too_large(rows: Sequence[CountingRow], max_rows: int) -> None:
        if len(rows) > 2:
            raise EngineFailed("engine_out_of_memory", "four rows do not fit", retryable=True)
        step(rows, max_rows)

    monkeypatch.setattr(engine, "step", too_large)
    done = await asyncio.gather(*(batcher.render(scene(steps=2, seed=seed)) for seed in range(4)))
    assert [one.render.seed for one in done] == [0, 1, 2, 3]
    assert [len(rows) for rows in engine.calls] == [2, 2, 2, 2]
    batcher.close()


async def test_a_row_that_alone_is_out_of_memory_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=8)

    def too_large(rows: Sequence[CountingRow], max_rows: int) -> None:
        raise EngineFailed("engine_out_of_memory", "one row")

    monkeypatch.setattr(engine, "step", too_large)
    with pytest.raises(EngineFailed, match="one row"):
        await batcher.render(scene())
    batcher.close()


async def test_rows_on_their_way_wait_for_one_beginning_between_two_steps() -> None:
    engine = CountingEngine(gated=True)
    batcher = RenderBatcher(engine, max_rows=4)
    jobs = [asyncio.create_task(batcher.render(scene(steps=4, seed=1)))]
    await asyncio.to_thread(engine.entered.acquire)
    jobs += [asyncio.create_task(batcher.render(scene(steps=9, seed=seed))) for seed in (2, 3)]
    await asyncio.sleep(0)
    engine.go.release(99)
    await asyncio.gather(*jobs)
    assert [len(rows) for rows in engine.calls[:3]] == [1, 2, 3]
    batcher.close()


async def test_the_stages_of_a_scene_are_timed() -> None:
    batcher = RenderBatcher(CountingEngine(), max_rows=1)
    rendered = await batcher.render(scene())
    assert list(rendered.milliseconds) == ["queue", "begin", "steps", "decode", "device"]
    assert all(spent >= 0 for spent in rendered.milliseconds.values())
    batcher.close()


async def test_scenes_that_share_steps_share_the_devices_time_by_their_rows() -> None:
    class SlowEngine(CountingEngine):
        def step(self, rows: Sequence[CountingRow], max_rows: int) -> None:
            time.sleep(0.05)
            super().step(rows, max_rows)

    engine = SlowEngine()
    batcher = RenderBatcher(engine, max_rows=3)
    plain = scene(steps=4)
    guided = replace(plain, brief=replace(plain.brief, guidance_scale=2.0))
    began = time.monotonic()
    one, two = [done.milliseconds for done in await asyncio.gather(*map(batcher.render, (plain, guided)))]
    spent_ms = (time.monotonic() - began) * 1000
    assert len(engine.calls) == 4, "they shared every step"
    assert 200 <= one["device"] + two["device"] <= spent_ms
    assert two["device"] > 1.5 * one["device"]
    assert one["device"] < 0.6 * one["steps"]
    batcher.close()


async def test_progress_comes_after_every_step_with_previews_when_asked() -> None:
    seen: list[tuple[int, int, bool]] = []

    def report(step: int, steps: int, preview: U8 | None) -> None:
        seen.append((step, steps, preview is not None))

    batcher = RenderBatcher(CountingEngine(), max_rows=2)
    await batcher.render(scene(steps=3), report)
    assert seen == [(1, 3, False), (2, 3, False), (3, 3, False)]
    seen.clear()
    await batcher.render(scene(steps=3), report, preview_every_s=1e-9)
    assert seen == [(1, 3, True), (2, 3, True), (3, 3, False)]
    batcher.close()


async def test_never_more_rows_than_allowed() -> None:
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=2)
    await asyncio.gather(*(batcher.render(scene(steps=2, seed=seed)) for seed in range(5)))
    assert max(map(len, engine.calls)) == 2
    assert batcher.begun == 0
    batcher.close()


async def test_a_step_that_raises_fails_its_rows_and_the_batcher_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=2)

    def lost(rows: Sequence[CountingRow], max_rows: int) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr(engine, "step", lost)
    with pytest.raises(RuntimeError, match="device lost"):
        await batcher.render(scene())
    monkeypatch.undo()
    assert (await batcher.render(scene(seed=5))).render.seed == 5
    batcher.close()


async def test_a_suspect_runs_alone_and_the_others_wait() -> None:
    engine = CountingEngine()
    batcher = RenderBatcher(engine, max_rows=8)
    jobs = [batcher.render(scene(steps=2, seed=seed), alone=seed == 2) for seed in (1, 2, 3, 4)]
    await asyncio.gather(*jobs)
    assert engine.calls == [[1, 3, 4]] * 2 + [[2]] * 2
    batcher.close()


async def test_a_scene_of_many_windows_is_painted_in_calls_of_the_allowed_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds as much memory as several scenes, so the next one begins only when it is done."""
    engine, limits, begun = CountingEngine(), [], []
    monkeypatch.setattr(engine, "rows", lambda scene: 4 if scene.brief.seed == 1 else 1)
    step, begin = engine.step, engine.begin

    def watched(rows: Sequence[CountingRow], max_rows: int) -> None:
        limits.append(max_rows)
        step(rows, max_rows)

    def noted(scene: Scene) -> CountingRow:
        begun.append((scene.brief.seed, batcher.begun))
        return begin(scene)

    monkeypatch.setattr(engine, "step", watched)
    monkeypatch.setattr(engine, "begin", noted)
    batcher = RenderBatcher(engine, max_rows=2)
    await asyncio.gather(*(batcher.render(scene(2, seed)) for seed in (1, 2)))
    assert set(limits) == {2}
    assert begun == [(1, 0), (2, 0)]
    batcher.close()
