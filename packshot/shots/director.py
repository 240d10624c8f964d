"""The director: claims a shot under a lease, drives it, commits it under the lease's fence.

Execution is at least once, effects are exactly once: what a director that lost its lease still does changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time

from packshot.contract.status import Status
from packshot.errors import EngineCrashed, EngineFailed, LeaseLost, PackshotError
from packshot.imaging.codec import encode_png
from packshot.meter import Meter, NoMeter
from packshot.settings import Settings
from packshot.shots.flow import shoot
from packshot.shots.stages import Stages, Step
from packshot.store.records import Claim
from packshot.store.store import Store
from packshot.types import U8

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 0.5
"""How often a running shot's progress is written, and a wish to cancel it is noticed."""


class Director:
    """Runs claimed shots, several at once from one event loop. `worker` names it in the store."""

    def __init__(
        self, store: Store, stages: Stages, settings: Settings, *, worker: str, meter: Meter | None = None
    ) -> None:
        self._store = store
        self._stages = stages
        self._settings = settings
        self._worker = worker
        self._meter = meter or NoMeter()
        self._running: dict[str, Claim] = {}

    @property
    def running(self) -> int:
        """Shots under way here."""
        return len(self._running)

    async def run_next(self) -> str | None:
        """Claim the best waiting shot, drive it and commit it; its id, or None when nothing waits."""
        claim = await asyncio.to_thread(self._store.queue.claim, self._worker)
        if claim is None:
            return None
        self._running[claim.shot_id] = claim
        try:
            await self._run(claim)
        except LeaseLost:
            log.warning("lost the lease of %s: another worker has it", claim.shot_id)
        except asyncio.CancelledError:
            self._give_back(claim)
            raise
        finally:
            self._running.pop(claim.shot_id, None)
        return claim.shot_id

    def release_all(self) -> None:
        """Return every running shot to the queue, uncounted: for a replica that is told to go."""
        for claim in list(self._running.values()):
            self._give_back(claim)

    def _give_back(self, claim: Claim) -> None:
        try:
            self._store.queue.release(claim)
        except LeaseLost:
            log.info("%s was not ours any more", claim.shot_id)

    async def _run(self, claim: Claim) -> None:
        latest = _LatestStep()
        picture = shoot(self._store, claim.tenant, claim.spec, self._stages, latest.set, alone=claim.crashes > 0)
        work = asyncio.create_task(picture)
        heart = asyncio.create_task(self._beat(claim, latest))
        try:
            ended, _ = await asyncio.wait(
                {work, heart}, timeout=self._settings.shot_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if heart in ended:
                heart.result()  # raises LeaseLost; else somebody wishes to cancel
                await _stop(work)
                await asyncio.to_thread(self._store.queue.finish_cancelled, claim)
                self._ended(claim, "cancelled")
            elif work in ended:
                ended_shot = await asyncio.to_thread(self._store.queue.commit, claim, work.result())
                self._ended(claim, ended_shot.status)  # cancelled, if somebody asked for that before the commit
            else:
                limit = f"a shot may run {self._settings.shot_timeout_s:g} s; ask for fewer steps or images"
                await self._fail(claim, EngineFailed("timeout", limit))
        except LeaseLost:
            raise
        except PackshotError as error:
            await self._fail(claim, error)
        except Exception as error:
            log.exception("shot %s raised", claim.shot_id)
            await self._fail(claim, EngineFailed("internal", f"a fault of ours: {error!r}", retryable=True))
        finally:
            await _stop(work)
            await _stop(heart)

    async def _beat(self, claim: Claim, latest: _LatestStep) -> None:
        """Extend the lease and write progress; returns when somebody wishes to cancel, raises LeaseLost."""
        written_at = 0.0
        previews = 0
        while True:
            if latest.changed or time.monotonic() - written_at >= min(self._settings.heartbeat_s, 2 * PROGRESS_EVERY_S):
                step, preview = latest.take()
                if preview is not None:
                    previews += 1
                    data = await asyncio.to_thread(encode_png, preview)
                    await asyncio.to_thread(self._store.assets.put_at, f"previews/{claim.shot_id}.png", data)
                cancel = await asyncio.to_thread(
                    self._store.queue.heartbeat, claim, step=step.index, steps=step.steps, preview_version=previews
                )
                if cancel:
                    return
                written_at = time.monotonic()
            await asyncio.sleep(PROGRESS_EVERY_S)

    async def _fail(self, claim: Claim, error: PackshotError) -> None:
        crashed = isinstance(error, EngineCrashed)
        shot = await asyncio.to_thread(
            self._store.queue.fail, claim, error.code, error.detail, retryable=error.retryable, crashed=crashed
        )
        self._meter.count("packshot_errors_total", code=error.code)
        if shot.status != "queued":
            self._ended(claim, shot.status)

    def _ended(self, claim: Claim, status: Status) -> None:
        self._meter.count("packshot_shots_total", status=status)
        self._meter.observe("packshot_shot_seconds", max(0.0, time.time() - claim.created_at.timestamp()))


class _LatestStep:
    """Where the rendering stands, between the flow that reports and the heartbeat that writes."""

    def __init__(self) -> None:
        self.changed = False
        self._step = Step(0, 0)

    def set(self, step: Step) -> None:
        if step.preview is None and self.changed:
            step = Step(step.index, step.steps, self._step.preview)
        self._step = step
        self.changed = True

    def take(self) -> tuple[Step, U8 | None]:
        self.changed = False
        step = self._step
        self._step = Step(step.index, step.steps)
        return step, step.preview


async def _stop(task: asyncio.Task[object]) -> None:
    """Cancel a task and wait for its end; its result or failure no longer matters."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
