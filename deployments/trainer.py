"""Trainings -> adapters: one training at a time in each replica, which sleeps while there is none.

The directors call it for each training that waits or runs, so Serve wakes a replica and keeps it. The training itself
runs in a process of the replica (packshot/training/jobs), which has the replica's GPU: a crash or a lack of memory
there ends neither the replica nor a shot. Its state is in the store, so another replica resumes it.
"""

from __future__ import annotations

import asyncio

from ray import serve

from deployments.ray_support.context import stage
from deployments.ray_support.gpu import has_share
from deployments.ray_support.metrics import RayMeter
from deployments.ray_support.shared_store import require_shared_store
from packshot.settings import Settings
from packshot.store.store import Store
from packshot.training.jobs.worker import TrainingWorker


@serve.deployment(
    name="trainer",
    max_ongoing_requests=1,
    autoscaling_config={"min_replicas": 0, "max_replicas": 1, "target_ongoing_requests": 1},
    ray_actor_options={"num_cpus": 0.1},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=5,  # a training lasts longer than any replica should wait; another one resumes it
)
@stage("trainer")
class TrainerDeployment:
    """Runs trainings of `engines`, with `threads` torch threads each; 0 = torch's choice."""

    def __init__(self, engines: tuple[str, ...], threads: int) -> None:
        settings = Settings()
        require_shared_store(settings)
        self._worker = TrainingWorker(
            Store.from_settings(settings),
            settings,
            worker=serve.get_replica_context().replica_id.unique_id,
            engines=engines,
            device=settings.device if has_share() else "cpu",  # the process opens the GPU, and not this replica
            threads=threads,
            meter=RayMeter(),
        )
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[str | None] | None = None

    async def run_next(self) -> str | None:
        """Claim a training, run it and keep its result. Returns its id; None when none is due.

        A caller that dies stops no training: the next call waits here until it has ended.
        """
        async with self._one_at_a_time:
            if self._task is None or self._task.done():
                self._task = asyncio.ensure_future(self._worker.run_next())
            return await asyncio.shield(self._task)

    def __del__(self) -> None:
        self._worker.close()
