"""Scene -> Render: the pack's engine. Scenes of different requests share its denoising steps.

A scene of a catalogue is parked while it would slow a person's scene by more than the policy allows.

Progress is streamed to the caller. Closing the stream frees the scene's batch rows at the next step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from ray import serve

from deployments.ray_support.calls import require_progress
from deployments.ray_support.context import stage
from deployments.ray_support.deaths import end_on_device_fault, leave_evidence
from deployments.ray_support.gpu import cap_share
from deployments.ray_support.metrics import RayMeter
from packshot.batching import RenderBatcher, Rendered, StepCurve, knee
from packshot.contract.recipe import EngineStamp
from packshot.models.device import model_thread, pick_dtype
from packshot.references import References
from packshot.settings import Settings
from packshot.shots import Fitted, Painted, Step
from packshot.types import Brief, ConditionMaps, EdgeMap, Scene

REPORT_EVERY_S = 0.5
PREVIEW_EVERY_S = 2.0
ROWS_OF_A_GUIDED_SCENE = 2


@serve.deployment(
    name="generator",
    max_ongoing_requests=32,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 8},
    ray_actor_options={"num_cpus": 0.5},
    user_config={"max_rows": 16},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=120,
    max_surge_percent=100,
)
@stage("generator")
class GeneratorDeployment:
    """Paints scenes.

    `pack` names the pack; "" uses the setting. `threads` is the number of torch threads; 0 = torch's choice.
    `user_config`: `max_rows` is the largest number of batch rows in a step that the memory allows.
    """

    def __init__(self, pack: str, threads: int) -> None:
        from packshot.models.engines.loading import load_engine
        from packshot.models.packs.pack import find_pack

        leave_evidence()
        settings = Settings()
        thread = model_thread(threads, end_on_device_fault)
        device = cap_share(settings.device)
        dtype = pick_dtype(device, settings.dtype)
        loaded = find_pack(pack or settings.pack, settings)
        self._stamp = EngineStamp(
            pack=loaded.hashes(loaded.engine_roles), dtype=str(dtype).removeprefix("torch."), device=device.type
        )
        engine = load_engine(loaded, device, dtype, freeze=True)
        curve_s = thread.submit(engine.step_seconds).result()
        self._knee = knee(curve_s)
        self._row_step_s = curve_s[self._knee] / self._knee
        self._meter = RayMeter()
        curve = StepCurve(curve_s)
        self._batcher = RenderBatcher(engine, max_rows=1, curve=curve, meter=self._meter, thread=thread)

    def reconfigure(self, user_config: dict[str, int]) -> None:
        """Set the largest number of batch rows in a step: `max_rows`, or this machine's knee when that is smaller."""
        self._batcher.max_rows = min(user_config["max_rows"], max(self._knee, ROWS_OF_A_GUIDED_SCENE))
        self._meter.set("packshot_denoise_max_rows", self._batcher.max_rows)

    async def paint(
        self,
        fitted: Fitted,
        edges: EdgeMap,
        brief: Brief,
        interactive: bool,
        alone: bool,
        maps: ConditionMaps | None = None,
        references: References | None = None,
    ) -> AsyncIterator[Step | Painted]:
        """Paint a scene. Yields at most two steps per second, and every step with a preview, then the painted scene."""
        reported: asyncio.Queue[Step | None] = asyncio.Queue()
        rendering: asyncio.Task[Rendered] = asyncio.create_task(
            self._batcher.render(
                Scene(fitted.product, fitted.repaint, edges, brief, maps or ConditionMaps(), fitted.kept, references),
                lambda index, steps, preview: reported.put_nowait(Step(index, steps, preview)),
                preview_every_s=PREVIEW_EVERY_S,
                interactive=interactive,
                alone=alone,
            )
        )
        rendering.add_done_callback(lambda _: reported.put_nowait(None))
        yielded_at = 0.0
        try:
            while (step := await reported.get()) is not None:
                now = time.monotonic()
                if step.preview is not None or now - yielded_at >= REPORT_EVERY_S:
                    yielded_at = now
                    yield step
            render, timing_ms = await rendering
            yield Painted(render, self._stamp, timing_ms)
        finally:
            rendering.cancel()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return `row_step_s`, the seconds of a row-step in a full batch as measured at start, and `step_rows`, the
        rows of such a batch."""
        return {"row_step_s": self._row_step_s, "step_rows": float(self._batcher.max_rows)}

    def check_health(self) -> None:
        require_progress("generator", self._batcher.busy_s)
