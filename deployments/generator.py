"""Scene -> Render: the pack's engine, whose denoising steps are shared by rows of different requests.

Progress streams back step by step; closing the stream frees the row at the next step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

from ray import serve

from deployments.faults import require_progress
from deployments.gpu import cap_share
from deployments.meter import RayMeter
from packshot.batching import RenderBatcher
from packshot.director import Painted, Step
from packshot.models.device import pick_dtype, use_threads
from packshot.models.manifest import RENDER_ROLES
from packshot.settings import Settings
from packshot.types import U8, Brief, EdgeMap, Render, Scene

REPORT_EVERY_S = 0.25
PREVIEW_EVERY_S = 2.0


@serve.deployment(
    name="generator",
    max_ongoing_requests=32,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 8},
    ray_actor_options={"num_cpus": 0.5},
    user_config={"max_rows": 4},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=120,
    max_surge_percent=100,
)
class GeneratorDeployment:
    def __init__(self, pack: str, threads: int) -> None:
        from packshot.models.denoise import DiffusionEngine
        from packshot.models.packs import find_pack

        settings = Settings()
        device = cap_share(settings.device)
        dtype = pick_dtype(device, settings.dtype)
        loaded = find_pack(pack or settings.pack, settings)
        self._recipe = {
            "pack": loaded.hashes(RENDER_ROLES),
            "dtype": str(dtype).removeprefix("torch."),
            "device": device.type,
        }
        engine = DiffusionEngine(loaded, device, dtype)
        self._batcher = RenderBatcher(engine, max_rows=1, meter=RayMeter(), thread_setup=partial(use_threads, threads))

    def reconfigure(self, user_config: dict[str, int]) -> None:
        self._batcher.max_rows = user_config["max_rows"]

    async def paint(
        self, product: U8, repaint: U8, edges: EdgeMap, brief: Brief, alone: bool
    ) -> AsyncIterator[Step | Painted]:
        """Steps as they come (the latest only, a few a second), then the painted scene."""
        started_at = time.perf_counter()
        latest: asyncio.Queue[Step | None] = asyncio.Queue()
        work: asyncio.Task[Render] = asyncio.create_task(
            self._batcher.render(
                Scene(product, repaint, edges, brief),
                lambda index, steps, preview: latest.put_nowait(Step(index, steps, preview)),
                preview_every_s=PREVIEW_EVERY_S,
                alone=alone,
            )
        )
        work.add_done_callback(lambda _: latest.put_nowait(None))
        reported_at = 0.0
        try:
            while (step := await latest.get()) is not None:
                now = time.monotonic()
                if step.preview is not None or now - reported_at >= REPORT_EVERY_S:
                    reported_at = now
                    yield step
            yield Painted(await work, self._recipe, {"paint": (time.perf_counter() - started_at) * 1000})
        finally:
            work.cancel()

    def check_health(self) -> None:
        require_progress("generator", self._batcher.busy_s)
