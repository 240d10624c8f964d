"""Scene -> Render: the pack's engine. Scenes of different requests share its denoising steps.

A pack with an endpoint has no engine here: a vendor's service paints, by one call for each scene.

A scene of a catalogue is parked while it would slow a person's scene by more than the policy allows.

Progress is streamed to the caller. Closing the stream frees the scene's batch rows at the next step.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from ray import serve

from deployments.ray_support.calls import require_progress
from deployments.ray_support.context import stage
from deployments.ray_support.deaths import leave_evidence
from deployments.ray_support.metrics import RayMeter
from deployments.ray_support.model_place import model_place
from packshot.adapters import AdapterAsset, SceneAdapter
from packshot.batching import Painter, RenderBatcher, Rendered, StepCurve, knee
from packshot.contract.recipe import EngineStamp
from packshot.errors import BadInput
from packshot.models.packs.pack import Pack, find_pack
from packshot.references import References
from packshot.settings import Settings
from packshot.shots import Fitted, Painted, Step
from packshot.shots.adapters import AdapterShelf
from packshot.shots.painting import paint_scene, scene_of
from packshot.store.assets import Assets
from packshot.types import Brief, ConditionMaps, EdgeMap

REPORT_EVERY_S = 0.5
ROWS_OF_A_GUIDED_SCENE = 2
MULTIPLEXED = 64
"""The adapters that a replica names to the router, the last used ones. Their memory is bounded by the shelf."""


@serve.deployment(
    name="generator",
    max_ongoing_requests=32,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 8},
    ray_actor_options={"num_cpus": 0.2},
    user_config={"max_rows": 16},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=120,
    max_surge_percent=100,
)
@stage("generator")
class GeneratorDeployment:
    """Paints scenes.

    `pack` names the pack. `threads` is the number of torch threads; 0 = torch's choice.
    `user_config`: `max_rows` is the largest number of batch rows in a step that the memory allows.
    """

    def __init__(self, pack: str, threads: int) -> None:
        leave_evidence()
        settings = Settings()
        self._meter = RayMeter()
        self._painter: Painter
        self._shelf: AdapterShelf | None = None
        loaded = find_pack(pack, settings)
        if loaded.manifest.endpoint is None:
            self._load(loaded, threads, settings)
        else:
            self._connect(loaded, settings)

    def _load(self, pack: Pack, threads: int, settings: Settings) -> None:
        """Load the pack's engine on this replica's device, and measure its batch curve."""
        from packshot.models.engines.loading import load_engine

        thread, device, dtype = model_place(threads, settings)
        self._stamp = EngineStamp(
            pack=pack.hashes(pack.engine_roles), dtype=str(dtype).removeprefix("torch."), device=device.type
        )
        engine = load_engine(pack, device, dtype, freeze=True)
        curve_s = thread.submit(engine.step_seconds).result()
        rows = knee(curve_s)
        self._useful_rows = max(rows, ROWS_OF_A_GUIDED_SCENE)
        self._row_step_s = curve_s[rows] / rows
        curve = StepCurve(curve_s)
        self._painter = RenderBatcher(engine, max_rows=1, curve=curve, meter=self._meter, thread=thread)
        if pack.adapters:
            assets = Assets(settings.asset_root, settings.max_asset_bytes)
            most = settings.adapter_cache_bytes
            self._shelf = AdapterShelf(assets, engine.load_adapter, thread, max_bytes=most)

    def _connect(self, pack: Pack, settings: Settings) -> None:
        """Paint by a vendor's service, whose calls are this replica's rows."""
        from packshot.models.engines.remote.painter import endpoint_of, open_painter

        painter, endpoint = open_painter(pack, settings, meter=self._meter), endpoint_of(pack)
        self._painter, self._stamp = painter, painter.stamp
        self._useful_rows = endpoint.in_flight
        self._row_step_s = endpoint.latency_s / endpoint.in_flight

    def reconfigure(self, user_config: dict[str, int]) -> None:
        """Set the largest number of batch rows in a step: `max_rows`, or what is useful here when that is smaller."""
        self._painter.max_rows = min(user_config["max_rows"], self._useful_rows)
        self._meter.set("packshot_denoise_max_rows", self._painter.max_rows)

    async def paint(
        self,
        fitted: Fitted,
        edges: EdgeMap | None,
        brief: Brief,
        interactive: bool,
        alone: bool,
        maps: ConditionMaps | None = None,
        references: References | None = None,
    ) -> AsyncIterator[Step | Painted]:
        """Paint a scene. Yields step 0 at once, then at most two steps per second and every step with a preview, and
        last the painted scene."""
        scene = scene_of(fitted, edges, brief, maps, references, await self._loaded(brief.adapters))
        yielded_at = 0.0
        yield Step(0, brief.steps)  # so that the director knows that the engine is awake
        async with aclosing(paint_scene(self._painter, scene, interactive=interactive, alone=alone)) as painting:
            async for update in painting:
                if isinstance(update, Rendered):
                    yield Painted(update.render, self._stamp, update.milliseconds)
                elif update.preview is not None or time.monotonic() - yielded_at >= REPORT_EVERY_S:
                    yielded_at = time.monotonic()
                    yield update

    async def _loaded(self, adapters: tuple[AdapterAsset, ...]) -> tuple[SceneAdapter, ...]:
        """The adapters on this replica's device. Raises BadInput `adapter_mismatch`, and NotFound."""
        if not adapters:
            return ()
        if self._shelf is None:
            rule = "adapters need an engine that takes them, and this one does not"
            raise BadInput("engine_cannot", f"{rule}; leave them out")
        loaded = await self._shelf.of(adapters)
        for one in adapters:
            await self._warm(one.asset_key)
        return loaded

    @serve.multiplexed(max_num_models_per_replica=MULTIPLEXED)  # type: ignore[untyped-decorator]
    async def _warm(self, asset_key: str) -> str:
        """Tell Serve's router that this replica has used an adapter, so that it prefers it for the next scene."""
        return asset_key

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return `row_step_s`, the seconds of a row-step in a full batch as measured at start, and `step_rows`, the
        rows of such a batch."""
        return {"row_step_s": self._row_step_s, "step_rows": float(self._painter.max_rows)}

    def check_health(self) -> None:
        require_progress("generator", self._painter.clock)
