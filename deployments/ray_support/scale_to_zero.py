"""The options of deployments that only some requests call: they scale to zero replicas without calls."""

from __future__ import annotations

from typing import Any

__all__ = ["BY_SESSION", "scale_to_zero"]

BY_SESSION: dict[str, Any] = {
    "request_router_class": "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter",
    "request_router_kwargs": {"num_fallback_replicas": 0},
}
"""A router that sends the calls of one session to one replica, which has the session's answers in its cache."""


def scale_to_zero(name: str, *, max_batch_size: int, by_session: bool = False) -> dict[str, Any]:
    """The options of `serve.deployment` for a model that scales to zero without calls, unless a profile says otherwise.

    Its CPU share is small, because a profile states the real one. `max_batch_size` is that of one call of the model.
    """
    return {
        "name": name,
        "max_ongoing_requests": 64,
        "autoscaling_config": {"min_replicas": 0, "max_replicas": 1, "target_ongoing_requests": 8},
        "ray_actor_options": {"num_cpus": 0.1},
        "user_config": {"max_batch_size": max_batch_size},
        "health_check_period_s": 5,
        "graceful_shutdown_timeout_s": 30,
        "max_surge_percent": 100,
    } | ({"request_router_config": BY_SESSION} if by_session else {})
