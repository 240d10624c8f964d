"""P4: scenes that end in time, step batching against static batching, one engine, open-loop arrivals, steps of 10,
20 or 30.

Static batching here is better than `@serve.batch`: the micro-batcher takes what has arrived at the moment the engine is
free (no batch is frozen early, no wait to tune), grouped by step count; its batch size is the best for this machine's
measured batch curve on paper. In time: within 4x the mean lone scene, and within 4x the scene's own lone time. The
curve is of whole pictures, begun and decoded, under the pack's own guidance.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import numpy as np

from bench.harness import Row, tell, timed
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
"""Of what the machine does with eight scenes a step."""
COUNT = 48
REPEATS = 5
THREADS = 2


def fitted(step_s: dict[int, float]) -> Curve:
    """A straight line through the measured steps: `fixed` + `each` x scenes."""
    scenes = np.array(list(step_s))
    each, fixed = np.polyfit(scenes, np.array(list(step_s.values())), 1)
    return Curve(max(float(fixed), 0.0), float(each))


def seconds_a_step(engine: DiffusionEngine) -> dict[int, float]:
    """Scenes painted together -> seconds of them, beginning and decoding included, over their steps;
    the quicker of two."""
    steps = round(statistics.mean(MIX.steps))

    def seconds_of(count: int) -> float:
        return timed(lambda: painted_together(engine, [scene_of(engine, steps, seed) for seed in range(count)]))

    return {count: min(seconds_of(count) for _ in range(2)) / steps for count in STATIC_SIZES}


def scene_of(engine: DiffusionEngine, steps: int, seed: int) -> Scene:
    """A grey box to paint around at the native size."""
    width, height = engine.native
    repaint = np.full((height, width), 255, np.uint8)
    repaint[height // 3 : -height // 4, width // 3 : -width // 3] = 0
    asked = engine.pack.manifest.defaults
    brief = Brief(
        "on a marble table, soft light",
        seed=seed,
        steps=steps,
        guidance_scale=asked.guidance_scale,
        control_scale=asked.control_scale,
    )
    return Scene(np.full((height, width, 3), 128, np.uint8), repaint, EdgeMap(repaint // 2), brief)


def painted_together(engine: DiffusionEngine, scenes: Sequence[Scene]) -> list[Render | Exception]:
    """A static batch: begin all, step all to the end, decode all."""
    rows = [engine.begin(scene) for scene in scenes]
    while not rows[0].done:
        engine.step(rows)
    return list(engine.decode(rows))


async def run(arrivals: Sequence[Arrival], paint: Callable[[int], Awaitable[U8]]) -> list[U8]:
    """Send each at its time, whatever the others do; fills in `ended_s`. Pictures in order."""
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def one(index: int, arrival: Arrival) -> U8:
        await asyncio.sleep(arrival.since_s - (loop.time() - start))
        pixels = await paint(index)
        arrival.ended_s = loop.time() - start
        return pixels

    return list(await asyncio.gather(*(one(index, arrival) for index, arrival in enumerate(arrivals))))


def main() -> int:
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

    def on_paper(size: int) -> float:
        arrivals = fresh(0)
        static(arrivals, curve, size)
        return goodput(arrivals, curve, own=False)

    batch = max(STATIC_SIZES, key=on_paper)

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
        holds &= tell(row, values, parity=parity, in_time=in_time, knee=rows, static_batch=batch, load=LOAD)
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
