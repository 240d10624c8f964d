"""Layout -> EdgeMap: Canny edges of the placed product, never of the photo's background. CPU only."""

from __future__ import annotations

from ray import serve

from deployments.ray_support.context import stage
from deployments.ray_support.deaths import leave_evidence
from packshot.imaging.edges import canny
from packshot.shots import Fitted
from packshot.types import EdgeMap


@serve.deployment(
    name="canny",
    max_ongoing_requests=8,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 4},
    ray_actor_options={"num_cpus": 0.1},
    user_config={"low": 100, "high": 200},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=20,
    max_surge_percent=100,
)
@stage("canny")
class CannyDeployment:
    """Finds edges. `user_config`: `low` and `high` are Canny's thresholds of the gradient."""

    def __init__(self) -> None:
        leave_evidence()

    def reconfigure(self, user_config: dict[str, int]) -> None:
        self._low, self._high = user_config["low"], user_config["high"]

    def edges(self, fitted: Fitted) -> EdgeMap:
        """Find the edges of a layout at the engine's size."""
        return canny(fitted.flat, self._low, self._high)
