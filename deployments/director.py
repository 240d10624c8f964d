"""Stored shots -> the graph: each call claims the first waiting shot, runs it, and returns when it is committed.

Running a shot is a Serve call, so that Serve sees the load and waits for it while draining. A slow poll finds shots
whose caller died; it makes the same Serve call.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import Any

import ray
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.ray_support.calls import to_packshot_error
from deployments.ray_support.context import stage
from deployments.ray_support.metrics import RayMeter, report
from deployments.ray_support.serve_stages import ServeStages
from deployments.ray_support.shared_store import require_shared_store
from deployments.ray_support.training import TrainerCalls
from packshot.errors import PackshotError
from packshot.models.packs.served import Served
from packshot.settings import Settings
from packshot.shots import Director, DuePoll, SharedLoadReport
from packshot.shots.fingerprinting import fingerprint_old_files
from packshot.shots.load_report import by_generator
from packshot.store.gauges import connection_gauges
from packshot.store.notifications import OUTBOX, QUEUED, listen
from packshot.store.store import Store
from packshot.webhooks import Egress, Sender

log = logging.getLogger("ray.serve")

DIRECTOR_CONNECTIONS = {
    "database_pool_size": 1,
    "database_pool_overflow": 0,
    "database_connect_timeout_s": 30,
}
"""A director has one database connection, and its shots wait for their turn at it: many directors share one server."""


@serve.deployment(
    name="director",
    max_ongoing_requests=6,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 6},
    ray_actor_options={"num_cpus": 0.1},
    health_check_period_s=5,
    graceful_shutdown_timeout_s=120,
    max_surge_percent=100,
)
@stage("director")
class DirectorDeployment:
    """Runs shots. The handles are the stages that a shot passes through.

    `generators` maps the name of each engine's pack to its generators, the default engine first. `sees_scenes` says
    that `understand` knows the depth of whole pictures (`PackManifest.sees_scenes`). `trainer` runs trainings, which
    one of the directors calls for; None = this cluster runs none.
    """

    def __init__(
        self,
        finisher: DeploymentHandle[Any],
        understand: DeploymentHandle[Any],
        canny: DeploymentHandle[Any],
        generators: dict[str, DeploymentHandle[Any]],
        reference_encoder: DeploymentHandle[Any],
        sees_scenes: bool = False,
        trainer: DeploymentHandle[Any] | None = None,
    ) -> None:
        settings = Settings()
        require_shared_store(settings)
        context = serve.get_replica_context()
        self._store = Store.from_settings(settings.model_copy(update=DIRECTOR_CONNECTIONS))
        self._poll_s = settings.poll_s
        self._cluster = (ray.get_runtime_context().get_session_name(), tuple(generators))
        self._store.clusters.join(*self._cluster)
        self._called = self._active = False
        handles = (finisher, understand, canny, generators, reference_encoder)
        self._stages = ServeStages(settings, *handles, sees_scenes=sees_scenes)
        places = context._deployment_config.max_ongoing_requests
        self._director = Director(
            self._store,
            self._stages,
            settings,
            worker=context.replica_id.unique_id,
            places=places,
            engines=tuple(generators),
            freed=lambda: self._due.wake(),
            meter=RayMeter(),
        )
        self._load = SharedLoadReport(self._store)
        self._generators = Served(tuple(generators), "").generators
        self._directors = serve.get_deployment_handle(context.deployment, app_name=context.app_name)
        self._due = DuePoll(
            self._due_count,
            self._call,
            places=places,
            running=lambda: self._director.running,
            every_s=settings.poll_s,
        )
        loop = asyncio.get_running_loop()
        sender = Sender(self._store.outbound, Egress(allow_loopback=settings.open_access), RayMeter())
        self._tasks = [
            loop.create_task(self._due.forever()),
            loop.create_task(self._keep_house()),
            loop.create_task(fingerprint_old_files(self._store, self._stages.fingerprint)),
            loop.create_task(sender.forever(settings.poll_s)),
        ]
        self._training = None if trainer is None else TrainerCalls(self._store, trainer, tuple(generators))
        if context.rank.rank == 0:  # one of them hears of new shots for all; its calls go to any director
            wake = partial(self._due.wake, spread=True)
            heard = (listen(settings, QUEUED, wake), listen(settings, OUTBOX, sender.wake))
            self._listening = [loop.create_task(one) for one in heard]

    async def run_next(self) -> str | None:
        """Claim, run and commit one shot. Returns its id, or None when no shot may be claimed here now.

        A call that comes while catalogue shots have all their places returns. When one of these ends, the poll looks
        for the next shot. The first call makes the cluster active: clients' requests have moved to it.
        """
        if not self._called:
            await asyncio.to_thread(self._store.clusters.activate, *self._cluster)
            self._called = True
        return await self._director.run_next()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the whole store's load, for the policy of cluster/autoscaling.py. Serve polls it."""
        return by_generator(await asyncio.to_thread(self._load), self._generators)

    async def check_health(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError("director: the poll must run, but it has ended; Serve replaces this replica")

    def _due_count(self, most: int) -> int:
        """How many shots this cluster may claim now; 0 in standby, and until the first painter is ready."""
        here = self._active and (self._called or self._stages.painters_came())
        return self._store.queue.due_count(self._director.worth_trying(most)) if here else 0

    async def _keep_house(self) -> None:
        """Report the connections, say that the cluster is present, and sweep when a sweep is due."""
        while True:
            try:
                report(connection_gauges(self._store))
                self._active = await asyncio.to_thread(self._store.clusters.is_active, *self._cluster)
                self._director.elsewhere = await asyncio.to_thread(self._store.clusters.elsewhere, self._cluster[1])
                if self._active and self._training is not None and serve.get_replica_context().rank.rank == 0:
                    await self._training.look()  # one of the directors does; its rank may change
                if swept := await asyncio.to_thread(self._store.retention.sweep_if_due):
                    log.info("swept %s", swept)
            except Exception:
                log.exception("the store did not answer; a later try asks again")
            await asyncio.sleep(self._poll_s)

    async def _call(self) -> str | None:
        """Run a shot without a caller: the gateway died, a back-off has ended, or a lease has expired."""
        try:
            shot_id: str | None = await self._directors.run_next.remote()
        except Exception as error:  # noqa: BLE001 - the shot is in the store, and a later poll finds it
            log.warning("a director call failed: %r; the shot's state is in the store", to_packshot_error(error))
            return None
        return shot_id

    def __del__(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._training is not None:
            self._training.close()
        self._director.release_all()
        with suppress(PackshotError):
            self._store.clusters.leave(self._cluster[0])
