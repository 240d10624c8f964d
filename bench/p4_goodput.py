"""P4: the share of scenes that end in time, step batching against static batching, on one engine.

Arrivals are open loop, with 10, 20 or 30 steps each. The static batching is better than `@serve.batch`: the
micro-batcher takes whatever waits when the engine becomes free, grouped by step count, so there is no waiting time to
tune. Its batch size is the one that simulates best on this machine's measured batch curve. A scene is in time within 4x
the mean time of a scene that runs alone ("mean"), or within 4x its own time alone ("own"). The curve covers whole
pictures, with begin and decode, at the pack's default guidance.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import numpy as np

from bench.harness import Row, print_row, timed
from bench.step_simulation import SLO, STATIC_SIZES, Curve, Mix, goodput, static, trace
from bench.step_simulation import Scene as Arrival
from packshot.batching import MicroBatcher, RenderBatcher, knee
from packshot.models.device import model_thread, pick_device, pick_dtype
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import U8, Brief, EdgeMap, Render, Scene

MIX = Mix("10, 20 or 30 steps", (10, 20, 30))
LOAD = 0.85
"""Rate of arrivals, as a share of the rate with eight scenes in each step."""
COUNT = 48
REPEATS = 5
THREADS = 2


def fitted(step_s: dict[int, float]) -> Curve:
    """Fit a line to the measured step times: `fixed` + `each` x scenes."""
    scenes = np.array(list(step_s))
    each, fixed = np.polyfit(scenes, np.array(list(step_s.values())), 1)
    return Curve(max(float(fixed), 0.0), float(each))


def seconds_a_step(engine: DiffusionEngine) -> dict[int, float]:
    """Seconds per step by the number of scenes that are painted together, with begin and decode; the faster of two."""
    steps = round(statistics.mean(MIX.steps))

    def seconds_of(count: int) -> float:
        return timed(lambda: painted_together(engine, [scene_of(engine, steps, seed) for seed in range(count)]))

    return {count: min(seconds_of(count) for _ in range(2)) / steps for count in STATIC_SIZES}


def scene_of(engine: DiffusionEngine, steps: int, seed: int) -> Scene:
    """A scene at the engine's native size: a grey product to paint around."""
    width, height = engine.native
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 3 : -height // 4, width // 3 : -width // 3] = 0
    defaults = engine.pack.manifest.defaults
    brief = Brief(
        "on a marble table, soft light",
        seed=seed,
        steps=steps,
        guidance_scale=defaults.guidance_scale,
        control_scale=defaults.control_scale,
    )
    return Scene(np.full((height, width, 3), 128, np.uint8), repaint, EdgeMap(repaint // 2), brief)


def painted_together(engine: DiffusionEngine, scenes: Sequence[Scene]) -> list[Render | Exception]:
    """Paint a static batch: begin all, run all steps, decode all."""
    rows = [engine.begin(scene) for scene in scenes]
    while not rows[0].done:
        engine.step(rows)
    return list(engine.decode(rows))


async def run(arrivals: Sequence[Arrival], paint: Callable[[int], Awaitable[U8]]) -> list[U8]:
    """Paint each arrival at its time, open loop, and set its `ended_s`. Returns the pictures in order."""
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def one(index: int, arrival: Arrival) -> U8:
        await asyncio.sleep(arrival.since_s - (loop.time() - start))
        pixels = await paint(index)
        arrival.ended_s = loop.time() - start
        return pixels

    return list(await asyncio.gather(*(one(index, arrival) for index, arrival in enumerate(arrivals))))


def main() -> int:
    """Measure and report."""
    settings = Settings()
    device = pick_device(settings.device)
    thread = model_thread(THREADS)
    engine = DiffusionEngine(
        find_pack(settings.pack, settings), device, pick_dtype(device, settings.dtype), freeze=True
    )
    rows = knee(thread.submit(engine.step_seconds).result())
    step_s = thread.submit(seconds_a_step, engine).result()
    curve = fitted(step_s)
    gain = max(count * step_s[1] / seconds for count, seconds in step_s.items())

    def fresh(seed: int) -> list[Arrival]:
        return trace(MIX, LOAD, curve, seed, COUNT)

    def simulated(size: int) -> float:
        arrivals = fresh(0)
        static(arrivals, curve, size)
        return goodput(arrivals, curve, own=False)

    batch = max(STATIC_SIZES, key=simulated)

    def ours(arrivals: Sequence[Arrival]) -> list[U8]:
        async def go() -> list[U8]:
            batcher = RenderBatcher(engine, max_rows=rows, thread=thread)

            async def paint(index: int) -> U8:
                return (await batcher.render(scene_of(engine, arrivals[index].steps, index))).render.pixels

            return await run(arrivals, paint)

        return asyncio.run(go())

    def theirs(arrivals: Sequence[Arrival]) -> list[U8]:
        async def go() -> list[U8]:
            batcher: MicroBatcher[Scene, Render] = MicroBatcher(
                partial(painted_together, engine),
                max_batch_size=batch,
                key=lambda scene: scene.brief.steps,
                thread=thread,
            )

            async def paint(index: int) -> U8:
                return (await batcher.submit(scene_of(engine, arrivals[index].steps, index))).pixels

            return await run(arrivals, paint)

        return asyncio.run(go())

    ratios: dict[str, list[float]] = {"mean": [], "own": []}
    shares: dict[str, list[tuple[float, float]]] = {"mean": [], "own": []}
    worst = 0
    for repeat in range(REPEATS):
        mine, other = fresh(repeat), fresh(repeat)
        pictures = ours(mine), theirs(other)
        worst = max(worst, *(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(*pictures, strict=True)))
        for name in ratios:
            pair = goodput(mine, curve, name == "own"), goodput(other, curve, name == "own")
            shares[name].append(pair)
            ratios[name].append(pair[0] / max(pair[1], 1 / COUNT))
        print(f"repeat {repeat + 1}: in time {shares['mean'][-1]}, own {shares['own'][-1]}", file=sys.stderr)
    target = round(0.9 * gain, 2)
    holds = True
    for name, values in ratios.items():
        sentence = f"scenes within {SLO:g}x {name} lone time ÷ static batching (0.9 x batch gain {gain:.2f})"
        row = Row(f"P4-{name}", sentence, target, at_least=True)
        in_time = [round(statistics.median(pair[side] for pair in shares[name]), 2) for side in (0, 1)]
        parity = f"max difference {worst}/255"
        holds &= print_row(row, values, parity=parity, in_time=in_time, knee=rows, static_batch=batch, load=LOAD)
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
