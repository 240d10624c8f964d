"""P2: the cost of a hop between deployments: a handle call against a raw async-actor call, small and with 4 MB.

The small hop is `await handle.echo.remote(x)` inside a replica, against the same call of a plain async actor. In the
large hop an embedding goes from one deployment to the next as in our graph: the caller passes the response on, and Ray
moves the array once. It is compared with one `ray.put` and one `ray.get` of the array and the two raw actor calls that
carry its reference.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from bench.harness import Row, Sides, report
from deployments.ray_support.decorated import as_deployment

SMALL = Row("P2-hop", "one extra handle hop ÷ a raw async-actor call", 2.0)
LARGE = Row("P2-embedding", "a 4 MB embedding from deployment to deployment ÷ raw put + get", 1.3)
CALLS, REPEATS = 200, 7
EMBEDDING_SHAPE = (1, 256, 64, 64)
"""float32: SAM's image embedding, 4 MiB."""


class Echo:
    """Returns its argument; returns an embedding; returns the size of an array."""

    def __init__(self) -> None:
        self._embedding = np.random.default_rng(0).random(EMBEDDING_SHAPE, np.float32)

    async def echo(self, value: int) -> int:
        return value

    async def embedding(self) -> np.ndarray:
        return self._embedding

    async def size(self, array: np.ndarray) -> int:
        return int(array.nbytes)


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Callee(Echo):
    """`Echo` behind a handle."""


@serve.deployment(ray_actor_options={"num_cpus": 0})
class Caller:
    """Calls a deployment and a raw actor in turn, from inside a replica, as the director does."""

    def __init__(self, maker: DeploymentHandle[Any], taker: DeploymentHandle[Any]) -> None:
        self._maker, self._taker = maker, taker
        actor: Any = ray.remote(num_cpus=0)(Echo)  # Ray types calls only of methods that it decorates
        self._raw_maker, self._raw_taker = actor.remote(), actor.remote()

    async def measure(self) -> dict[str, tuple[list[float], list[float]]]:
        """Mean seconds of a call in each repeat, by hop ("small", "large"): (handle calls, raw calls)."""
        pairs = {"small": (self._small, self._raw_small), "large": (self._large, self._raw_large)}
        out: dict[str, tuple[list[float], list[float]]] = {}
        for name, (ours, theirs) in pairs.items():
            await ours()
            await theirs()
            out[name] = ([], [])
            for _ in range(REPEATS):
                for side, call in zip(out[name], (ours, theirs), strict=True):
                    started_at = time.perf_counter()
                    for _ in range(CALLS):
                        await call()
                    side.append((time.perf_counter() - started_at) / CALLS)
        return out

    async def _small(self) -> Any:
        return await self._maker.echo.remote(1)

    async def _raw_small(self) -> Any:
        return await self._raw_maker.echo.remote(1)

    async def _large(self) -> Any:
        return await self._taker.size.remote(self._maker.embedding.remote())

    async def _raw_large(self) -> Any:
        return await self._raw_taker.size.remote(self._raw_maker.embedding.remote())


def main() -> int:
    """Measure and report."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    serve.start(proxy_location="Disabled")
    try:
        callee = as_deployment(Callee)
        caller = as_deployment(Caller).bind(callee.options(name="maker").bind(), callee.options(name="taker").bind())
        measured = serve.run(caller, name="p2").measure.remote().result()
    finally:
        serve.shutdown()
        ray.shutdown()
    parity = "both sides return the same values"
    holds = [report(row, Sides(*measured[name]), parity) for row, name in ((SMALL, "small"), (LARGE, "large"))]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
