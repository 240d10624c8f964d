"""The director: claims a shot under a lease, runs its flow, and commits its images under the claim's fence.

Execution is at least once, effects are exactly once: the writes of a director that has lost its lease are refused. An
outage of the database, the storage or a stage ends no shot: heartbeats go on until the lease is lost, and a result is
written again until it is stored.

Neither catalogue shots nor the shots of one engine take all places of a director (lanes.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from functools import partial

from packshot.contract.status import SHOT_KINDS, ShotKind, Status
from packshot.errors import (
    EngineCrashed,
    EngineFailed,
    Interrupted,
    LeaseLost,
    Overloaded,
    PackshotError,
    StorageFull,
    Unavailable,
)
from packshot.imaging.codec import encode_png
from packshot.meter import Meter, NoMeter
from packshot.settings import Settings
from packshot.shots.kinds import FLOWS
from packshot.shots.lanes import Lanes, Running
from packshot.shots.previews import preview_key
from packshot.shots.stages import Stages, Step
from packshot.store.records import Claim, ShotRecord
from packshot.store.store import Store
from packshot.telemetry import traces
from packshot.telemetry.context import bound, continued
from packshot.types import U8

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 0.5
"""Shortest time between two progress writes of a running shot, in seconds. Each write also reads cancellations."""

OUTAGES = (Unavailable, StorageFull, Overloaded)
"""Errors that say nothing about the shot: the database, the storage or a stage cannot be used now."""

BUT_CLIPS: tuple[ShotKind, ...] = tuple(kind for kind in SHOT_KINDS if kind != "clip")

RETRY_S, MAX_RETRY_S = 0.5, 5.0
"""Seconds between two tries to store a result: at first, and at most."""


class Director:
    """Runs claimed shots, several at once in one event loop.

    `store` has the queue and the files. `stages` runs the models. `settings` gives timeouts. `worker` is this
    director's name in the store. `places` is how many shots it may run at once; without it, nothing is left free for
    people. `engines` are those of the cluster, the default first. `freed` is called when a place may be free for a shot
    that could not be claimed before: one of a catalogue, or of an engine. `meter` counts shots and errors; None counts
    nothing.
    """

    def __init__(
        self,
        store: Store,
        stages: Stages,
        settings: Settings,
        *,
        worker: str,
        places: int | None = None,
        engines: Sequence[str] = (),
        freed: Callable[[], None] = lambda: None,
        meter: Meter | None = None,
    ) -> None:
        self._store = store
        self._stages = stages
        self._settings = settings
        self._worker = worker
        self._meter = meter or NoMeter()
        self._running: dict[str, _Run] = {}
        self._lanes = Lanes(places, engines)
        self._one_claim = asyncio.Lock()
        self._freed = freed
        self.elsewhere: Collection[str] = ()
        """Engines that only another cluster serves."""
        self._claiming = 0
        """Claims on their way that may bring a catalogue shot."""
        self._claiming_clip = False
        """Whether a claim is on its way that may bring a clip."""

    @property
    def running(self) -> int:
        """How many shots this director runs now."""
        return len(self._running)

    @property
    def catalogue_room(self) -> float:
        """How many more catalogue shots this director may claim now."""
        return self._lanes.catalogue_room(self._now_running(), self._claiming)

    def _now_running(self) -> list[Running]:
        return [run.running for run in self._running.values()]

    def worth_trying(self, most: int) -> int:
        """How many of `most` due shots a poll should try to run here: any number of people's, but it cannot tell."""
        return int(min(most, max(1, self.catalogue_room)))

    async def _claim(self) -> Claim | None:
        """Claim the first shot of the queue for which there is a lane.

        With several engines, claims come one after the other: only then is it known which engines have their places.
        """
        async with self._one_claim if self._lanes.of_engines else nullcontext():
            claim = await self._claim_one()
            if claim is not None:
                self._running[claim.shot_id] = _Run(claim)
        return claim

    async def _claim_one(self) -> Claim | None:
        """Claim the first shot of the queue, or of the interactive ones when catalogue shots have all their places.

        It claims a clip only when this director runs none: a clip keeps a finisher busy for many seconds.
        """
        any_kind = self.catalogue_room > 0
        filming = self._claiming_clip or any(run.claim.kind == "clip" for run in self._running.values())
        self._claiming += any_kind
        self._claiming_clip |= not filming
        try:
            kinds = BUT_CLIPS if filming else SHOT_KINDS
            engines = self._lanes.engines(self._now_running(), self.elsewhere)
            claim = partial(
                self._store.queue.claim, self._worker, people_only=not any_kind, kinds=kinds, engines=engines
            )
            return await asyncio.to_thread(claim)
        finally:
            self._claiming -= any_kind
            self._claiming_clip &= filming

    async def run_next(self) -> str | None:
        """Claim the first shot of the queue, run it and commit it.

        Returns its id, or None when no shot is due, or only shots whose places here are taken.
        """
        asked_ns = time.time_ns()
        claim = await self._claim()
        claimed_ns = time.time_ns()
        self._meter.observe("packshot_claim_seconds", (claimed_ns - asked_ns) / 1e9)
        if claim is None:
            return None
        with continued(claim.origin), bound(shot=claim.shot_id, tenant=claim.tenant):
            accepted_ns = int(claim.created_at.timestamp() * 1e9)
            traces.record("queue", accepted_ns, claimed_ns, shot=claim.shot_id, attempt=claim.attempt)
            waited_s = max(0.0, (claimed_ns - accepted_ns) / 1e9)
            log.info("claimed shot %s, attempt %d, accepted %.1f s ago", claim.shot_id, claim.attempt, waited_s)
            with traces.span("shot", shot=claim.shot_id, tenant=claim.tenant, priority=claim.spec.priority):
                traces.record("claim", asked_ns, claimed_ns)
                await self._hold(claim)
        return claim.shot_id

    async def _hold(self, claim: Claim) -> None:
        """Run a claimed shot, and give it back when this task is cancelled."""
        try:
            await self._run(claim)
        except LeaseLost:
            log.warning("lost the lease of %s: another worker claimed it, or it ended", claim.shot_id)
        except asyncio.CancelledError:
            self._release(claim)
            raise
        finally:
            self._running.pop(claim.shot_id, None)
            if claim.spec.priority == "catalogue" or self._lanes.of_engines:
                self._freed()

    def release_all(self) -> None:
        """Return every running shot to the queue without counting the attempt, for a replica that stops."""
        for run in list(self._running.values()):
            self._release(run.claim)

    def _release(self, claim: Claim) -> None:
        try:
            self._store.queue.release(claim)
        except PackshotError as error:  # the shot is claimed again when the lease runs out
            log.info("the claim on %s was not released: %s", claim.shot_id, error)

    async def _run(self, claim: Claim) -> None:
        latest = _LatestStep(self._at_first_step(claim))
        flow = asyncio.ensure_future(FLOWS[claim.kind](self._store, claim, self._stages, latest.set))
        heartbeat = asyncio.create_task(self._beat(claim, latest))
        results_at = None
        try:
            ended, _ = await asyncio.wait(
                {flow, heartbeat}, timeout=self._settings.shot_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if heartbeat in ended:
                heartbeat.result()  # raises LeaseLost; returns when the shot's cancellation was requested
                await _stop(flow)
                await self._store_result(partial(self._store.queue.finish_cancelled, claim))
                self._count_ended(claim, "cancelled")
            elif flow in ended:
                made, results_at = flow.result(), time.monotonic()
                commit = partial(self._store.queue.commit, claim, made)
                with traces.span("commit"):
                    ended_shot = await self._store_result(commit, claim, heartbeat)
                self._count_ended(claim, ended_shot.status)  # cancelled, if the request for it came before the commit
            else:
                limit = f"a shot may run {self._settings.shot_timeout_s:g} s; ask for fewer steps or images"
                await self._fail(claim, EngineFailed("timeout", limit))
        except LeaseLost:
            raise
        except PackshotError as error:
            await self._fail(claim, error, held_s=0.0 if results_at is None else time.monotonic() - results_at)
        except Exception:
            log.exception("shot %s raised", claim.shot_id)
            detail = f"an internal error occurred; report the shot's id {claim.shot_id} to the operator"
            await self._fail(claim, EngineFailed("internal", detail, retryable=True))  # the log alone has its cause
        finally:
            await _stop(flow)
            await _stop(heartbeat)

    def _at_first_step(self, claim: Claim) -> Callable[[], None]:
        """What to call at the first step of the shot: its engine is awake, so it may have more places."""

        def begun() -> None:
            if (run := self._running.get(claim.shot_id)) is not None:
                run.begun = True
                if self._lanes.of_engines:
                    self._freed()

        return begun

    async def _store_result(
        self,
        write: Callable[[], ShotRecord],
        claim: Claim | None = None,
        heartbeat: asyncio.Task[None] | None = None,
    ) -> ShotRecord:
        """Call `write` until it succeeds. Raises an outage's error when it lasts longer than `max_outage_s`.

        A `heartbeat` of `claim` that has ended decides: the lease is lost (raises LeaseLost), or the shot is cancelled.
        """
        give_up_at = time.monotonic() + self._settings.max_outage_s
        retry_s = RETRY_S
        while True:
            try:
                return await asyncio.to_thread(write)
            except OUTAGES as error:
                if time.monotonic() + retry_s > give_up_at:
                    raise
                log.warning("a result waits %.1f s for the end of an outage: %s", retry_s, error)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, MAX_RETRY_S)
            if claim is not None and heartbeat is not None and heartbeat.done():
                heartbeat.result()
                write, heartbeat = partial(self._store.queue.finish_cancelled, claim), None

    async def _beat(self, claim: Claim, latest: _LatestStep) -> None:
        """Extend the lease and write progress. Returns when a client asked to cancel; raises LeaseLost.

        During an outage it goes on: only the database says that the lease is lost.
        """
        written_at = 0.0
        previews = 0
        while True:
            if latest.changed or time.monotonic() - written_at >= min(self._settings.heartbeat_s, 2 * PROGRESS_EVERY_S):
                step, pictures = latest.take()
                previews += await self._write_previews(claim, pictures)
                beat = partial(
                    self._store.queue.heartbeat, claim, step=step.index, steps=step.steps, preview_version=previews
                )
                try:
                    if await asyncio.to_thread(beat):
                        return
                except OUTAGES as error:
                    log.warning("the lease of %s was not extended, which will be tried again: %s", claim.shot_id, error)
                else:
                    written_at = time.monotonic()
            await asyncio.sleep(PROGRESS_EVERY_S)

    async def _write_previews(self, claim: Claim, pictures: dict[int, U8]) -> bool:
        """Write the previews of the pictures. Returns whether there is a new one. An error is logged only."""
        try:
            for image, preview in pictures.items():
                data = await asyncio.to_thread(encode_png, preview)
                await asyncio.to_thread(self._store.assets.put_at, preview_key(claim.shot_id, image), data)
        except Exception:  # a preview is a courtesy: the shot goes on without it
            log.warning("a preview of %s could not be written", claim.shot_id, exc_info=True)
            return False
        return bool(pictures)

    async def _fail(self, claim: Claim, error: PackshotError, held_s: float = 0.0) -> None:
        queue = self._store.queue
        if isinstance(error, OUTAGES):
            postpone = partial(queue.postpone, claim, error.code, error.detail, retry_after_s=error.retry_after_s)
            write = partial(postpone, held_s=held_s)
        elif isinstance(error, Interrupted):
            write = partial(queue.interrupt, claim, error.detail)
        else:
            crashed = isinstance(error, EngineCrashed)
            write = partial(queue.fail, claim, error.code, error.detail, retryable=error.retryable, crashed=crashed)
        shot = await self._store_result(write)
        self._meter.count("packshot_errors_total", code=error.code)
        if shot.status != "queued":
            self._count_ended(claim, shot.status)

    def _count_ended(self, claim: Claim, status: Status) -> None:
        spent_s = max(0.0, time.time() - claim.created_at.timestamp())
        self._meter.count("packshot_shots_total", status=status)
        self._meter.observe("packshot_shot_seconds", spent_s)
        log.info("shot %s ended %s, %.1f s after its acceptance", claim.shot_id, status, spent_s)


class _Run:
    """A claim that runs here. `begun` is whether its engine, or another stage that reports steps, has begun it."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.begun = False

    @property
    def running(self) -> Running:
        return Running(self.claim.engine, self.claim.spec.priority == "catalogue", self.begun)


class _LatestStep:
    """The latest progress of a shot: the flow sets it, the heartbeat takes it. `first` is called at the first step."""

    def __init__(self, first: Callable[[], None]) -> None:
        self._first: Callable[[], None] | None = first
        self.changed = False
        self._step = Step(0, 0)
        self._previews: dict[int, U8] = {}

    def set(self, step: Step) -> None:
        if self._first is not None:
            first, self._first = self._first, None
            first()
        if step.preview is not None:
            self._previews[step.image] = step.preview
        self._step = step
        self.changed = True

    def take(self) -> tuple[Step, dict[int, U8]]:
        """The latest step, and the previews since the last call, by the number of their picture."""
        self.changed = False
        previews, self._previews = self._previews, {}
        return self._step, previews


async def _stop(task: asyncio.Task[object]) -> None:
    """Cancel a task and wait for its end. Its result or exception is discarded."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
