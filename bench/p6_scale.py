"""P6: the scaling from one generator replica to two, and from one replica of a sleeping model to eight.

The generators are also compared with the machine itself, that is two bare processes against one, because two cores are
seldom twice as fast as one (shared caches, shared clock). A replica has one thread, and `max_ongoing_requests` limits
it to the scenes that share its step, so Serve distributes the scenes evenly.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import statistics
import time
from typing import Any

import numpy as np
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from bench.harness import Row, print_row
from cluster.local import ENVIRONMENT
from deployments.generator import GeneratorDeployment
from deployments.ray_support.decorated import as_deployment
from packshot.models.device import use_threads
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.shots import Fitted, Painted
from packshot.types import Brief, EdgeMap, Flat, Scene

REPLICAS = Row("P6-replicas", "2 one-thread generators ÷ 1, of linear", 0.90, at_least=True)
MACHINE = Row("P6-machine", "2 one-thread generators ÷ 1, of what two bare processes gain", 0.90, at_least=True)
SLEEPING = Row("P6-sleeping", "8 replicas of a sleeping model ÷ 1, of linear", 0.95, at_least=True)
REPEATS, SCENES, STEPS = 5, 8, 10
SLEEP_S, SLEEPERS, NAPS = 0.1, 8, 40


def scene(width: int, height: int, seed: int) -> Scene:
    """A scene of which everything is repainted, without guidance."""
    repaint = np.full((height, width), 255, np.uint8)
    brief = Brief("on a marble table", seed=seed, steps=STEPS, guidance_scale=1.0)
    return Scene(np.full((height, width, 3), 128, np.uint8), repaint, EdgeMap(repaint // 2), brief)


@serve.deployment(ray_actor_options={"num_cpus": 0}, max_ongoing_requests=4)
class Sleeper:
    """A model that takes SLEEP_S for each request, one at a time."""

    def __init__(self) -> None:
        self._model = asyncio.Lock()

    async def __call__(self) -> None:
        async with self._model:
            await asyncio.sleep(SLEEP_S)


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Caller:
    """Sends the load from inside the cluster, as the director does."""

    def __init__(self, callee: DeploymentHandle[Any]) -> None:
        self._callee = callee

    async def paint(self, count: int) -> float:
        """Paint `count` pictures at once. Returns pictures per second."""
        width, height = find_pack("mini", Settings()).manifest.native_px

        async def one(seed: int) -> None:
            asked = scene(width, height, seed)
            fitted = Fitted(Flat(np.zeros((height, width, 4), np.uint8)), asked.product, asked.inpaint_mask)
            stream = self._callee.options(stream=True).paint.remote(fitted, asked.edge_map, asked.brief, True, False)
            assert isinstance(stream, DeploymentResponseGenerator)
            async for update in stream:
                if isinstance(update, Painted):
                    return

        started_at = time.perf_counter()
        await asyncio.gather(*(one(seed) for seed in range(count)))
        return count / (time.perf_counter() - started_at)

    async def nap(self, count: int, at_once: int) -> float:
        """Send `count` requests, `at_once` of them concurrently. Returns requests per second."""
        slots = asyncio.Semaphore(at_once)

        async def one() -> None:
            async with slots:
                await self._callee.remote()

        started_at = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(count)))
        return count / (time.perf_counter() - started_at)


def bare(count: int, ready: Any, go: Any, rates: Any) -> None:
    """Run in a process of its own: the engine with one thread and `count` scenes in each step.

    Puts pictures per second into `rates`, once per repeat. `ready` and `go` start all processes at the same time.
    """
    use_threads(1)
    engine = DiffusionEngine(find_pack("mini", Settings()), freeze=True)
    width, height = engine.native
    for _ in range(REPEATS + 1):
        ready.put(True)
        go.acquire()
        started_at = time.perf_counter()
        rows = [engine.begin(scene(width, height, seed)) for seed in range(count)]
        while not rows[0].done:
            engine.step(rows)
        engine.decode(rows)
        rates.put(count / (time.perf_counter() - started_at))


def bare_rates(processes: int) -> list[float]:
    """Pictures per second of `processes` bare processes together, one value per repeat."""
    spawn = multiprocessing.get_context("spawn")
    ready, rates, go = spawn.Queue(), spawn.Queue(), spawn.Semaphore(0)
    workers = [spawn.Process(target=bare, args=(SCENES, ready, go, rates)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    found = []
    for _ in range(REPEATS + 1):
        for _ in workers:
            ready.get()
        for _ in workers:
            go.release()
        found.append(sum(rates.get() for _ in workers))
    for worker in workers:
        worker.join()
    return found[1:]  # without the warm-up


def main() -> int:
    """Measure and report."""
    one, two = bare_rates(1), bare_rates(2)
    gain = statistics.median(two) / statistics.median(one)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": {**ENVIRONMENT}},
    )
    serve.start(proxy_location="Disabled")
    try:
        painters, sleepers = {}, {}
        for count in (1, 2):
            generator = as_deployment(GeneratorDeployment).options(
                autoscaling_config=None,
                num_replicas=count,
                ray_actor_options={"num_cpus": 0},
                max_ongoing_requests=SCENES,
            )
            name = f"paint{count}"
            app = as_deployment(Caller).bind(generator.bind("mini", 1))
            painters[count] = serve.run(app, name=name, route_prefix=None)
        for count in (1, SLEEPERS):
            app = as_deployment(Caller).bind(as_deployment(Sleeper).options(num_replicas=count).bind())
            sleepers[count] = serve.run(app, name=f"nap{count}", route_prefix=None)
        linear, asleep = [], []
        for repeat in range(REPEATS + 1):
            rates = {count: painters[count].paint.remote(SCENES * count).result() for count in (1, 2)}
            naps = {count: sleepers[count].nap.remote(NAPS * count, 3 * count).result() for count in (1, SLEEPERS)}
            if repeat:  # without the warm-up
                linear.append(rates[2] / rates[1] / 2)
                asleep.append(naps[SLEEPERS] / naps[1] / SLEEPERS)
    finally:
        serve.shutdown()
        ray.shutdown()
    parity = f"{SCENES} scenes of {STEPS} steps per replica"
    holds = [
        print_row(REPLICAS, linear, parity=parity, bare_gain=round(gain, 3)),
        print_row(MACHINE, [2 * ratio / gain for ratio in linear], parity=parity),
        print_row(SLEEPING, asleep, parity=f"{SLEEP_S} s per request"),
    ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
