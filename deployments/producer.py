"""Catalogues -> masks, shots and files, for profiles that move this work out of the gateway. CPU only.

Rows, shots and files are in the store, so a producer that dies is followed by another one, which goes on where it was.
A lease gives each catalogue to one producer; the others are standbys.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.ray_support.context import stage
from deployments.ray_support.producing import Producing
from deployments.ray_support.serve_graph import ServeDecoder, ServeGraph
from deployments.ray_support.shared_store import require_shared_store
from packshot.api.decoding import Decoder, LocalDecoder
from packshot.models.packs.served import Served
from packshot.settings import Settings
from packshot.store.store import Store


@serve.deployment(
    name="producer",
    max_ongoing_requests=2,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 1},
    ray_actor_options={"num_cpus": 0.2},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=60,
    max_surge_percent=100,
)
@stage("producer")
class ProducerDeployment:
    """Produces catalogues.

    `served` names the packs. The handles are the stages that it calls.
    `photo_decoder` reads photos and masks at URLs; with None, processes of this replica do.
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
    ) -> None:
        settings = Settings()
        require_shared_store(settings)
        store = Store.from_settings(settings)
        graph = ServeGraph(served, settings, store, encoder, mask_decoder, detector, finisher, director)
        self._decoder: Decoder = LocalDecoder(settings) if photo_decoder is None else ServeDecoder(photo_decoder)
        self._producing = Producing(store, graph, self._decoder, settings)

    def check_health(self) -> None:
        self._producing.check_health()

    def __del__(self) -> None:
        self._producing.stop()
        if isinstance(self._decoder, LocalDecoder):
            self._decoder.close()
