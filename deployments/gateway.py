"""HTTP -> the store and the graph: the FastAPI app of packshot.api, in a replica.

The gateway processes no pixels. The photo decoder, a process of this replica or a deployment, decodes uploads. The
encoder and the decoder answer clicks, and the detector words; embeddings pass between them by reference. The finisher
makes masks, cutouts and deliveries. An accepted shot is a row in the store, followed by one call of the director.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

import packshot
from deployments.ray_support.context import stage
from deployments.ray_support.metrics import RayMeter
from deployments.ray_support.producing import Producing
from deployments.ray_support.serve_graph import ServeDecoder, ServeGraph
from deployments.ray_support.shared_store import require_shared_store
from packshot.api.app import create_app
from packshot.api.decoding import Decoder, LocalDecoder
from packshot.api.services import Services
from packshot.models.packs.served import Served
from packshot.settings import Settings
from packshot.store.store import Store

log = logging.getLogger("ray.serve")

STUDIO_DIR = Path(packshot.__file__).with_name("studio")


@serve.deployment(
    name="gateway",
    max_ongoing_requests=4096,  # far above the limits of lasting requests (api/concurrency_limit.py): others find room
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 64},
    ray_actor_options={"num_cpus": 0.2},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=120,
    max_surge_percent=100,
)
@serve.ingress()
@stage("gateway")
class GatewayDeployment:
    """Serves the HTTP API.

    `served` names the packs. `encoder` and `mask_decoder` answer clicks and `detector` words, `finisher` makes files
    and `director` runs shots. `photo_decoder` decodes uploads; with None, processes of this replica do. `producer`
    produces catalogues; with None, this replica does. `trains` is whether the directors have a trainer.
    """

    def __init__(
        self,
        served: Served,
        encoder: DeploymentHandle[Any],
        mask_decoder: DeploymentHandle[Any],
        detector: DeploymentHandle[Any],
        finisher: DeploymentHandle[Any],
        director: DeploymentHandle[Any],
        photo_decoder: DeploymentHandle[Any] | None,
        producer: DeploymentHandle[Any] | None,
        trains: bool = False,
    ) -> None:
        self._settings = Settings()
        require_shared_store(self._settings)
        self._store = Store.from_settings(self._settings)
        stages = (encoder, mask_decoder, detector, finisher, director)
        self._graph = ServeGraph(served, self._settings, self._store, *stages, trains=trains)
        self._cores = CoresInUse()
        self._upload_decoder: Decoder = (
            LocalDecoder(self._settings) if photo_decoder is None else ServeDecoder(photo_decoder)
        )
        self._producing = (
            Producing(self._store, self._graph, self._upload_decoder, self._settings) if producer is None else None
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        self._app = create_app(
            store=self._store,
            graph=self._graph,
            decoder=self._upload_decoder,
            settings=self._settings,
            meter=RayMeter(),
            studio_dir=STUDIO_DIR if STUDIO_DIR.is_dir() else None,
            proxy_adds_request_id=True,
        )
        return self._app

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return `uploads`, those that are decoded or wait for it, and `cores`, the processor time in use. Serve polls
        it for the policy of cluster/autoscaling.py."""
        services: Services = self._app.state.services
        return {"uploads": float(services.decode_queue.requests), "cores": self._cores()}

    def check_health(self) -> None:
        if self._producing is not None:
            self._producing.check_health()

    def __del__(self) -> None:
        if self._producing is not None:
            self._producing.stop()
        if isinstance(self._upload_decoder, LocalDecoder):
            self._upload_decoder.close()


class CoresInUse:
    """The processor time of this process since the last call, per second."""

    def __init__(self) -> None:
        self._at_s, self._used_s = time.monotonic(), time.process_time()

    def __call__(self) -> float:
        before_s, used_before_s = self._at_s, self._used_s
        self._at_s, self._used_s = time.monotonic(), time.process_time()
        return (self._used_s - used_before_s) / max(1e-3, self._at_s - before_s)
