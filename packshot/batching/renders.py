"""The render batcher: scenes of different requests share denoising steps.

One thread owns the engine. Each tick decodes finished scenes, begins urgent scenes, takes one step of the group that
the policy chooses, and reports progress. A scene waits for at most one decode and one begin between two of its steps.
Cancelled scenes are dropped at the next tick. A scene that fails does not affect the others. A step that runs out of
memory is retried with half the rows: with fewer scenes, or, for a single scene, in several calls of the networks.

The lane for people: while interactive scenes take steps, catalogue scenes that would slow them are parked. A parked
scene begins, steps and decodes later; its state stays as it is, so it goes on as if nothing had happened. Catalogue
scenes leave memory for `max_rows` interactive ones, so a person's scene begins at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from packshot.batching.clock import CallClock
from packshot.batching.curve import StepCurve
from packshot.batching.policy import Policy
from packshot.batching.scene_job import Job, Progress, Rendered, RowT
from packshot.errors import EngineFailed
from packshot.meter import Meter, NoMeter
from packshot.types import U8, Render, Scene


class Engine(Protocol[RowT]):
    """The engine's methods that the batcher calls: `batch_key` and `rows` in the event loop, the rest in one thread."""

    def batch_key(self, scene: Scene) -> Hashable:
        """Scenes with equal keys can share a step."""
        ...

    def rows(self, scene: Scene) -> int:
        """The number of batch rows that each step of the scene needs."""
        ...

    def begin(self, scene: Scene) -> RowT:
        """Do the work that precedes the first step, and return the scene's state."""
        ...

    def step(self, rows: Sequence[RowT], max_rows: int) -> None:
        """Take one denoising step of all `rows`, which have equal batch keys.

        One call of the networks has at most `max_rows` batch rows. If the step runs out of memory, it changes no row.
        """
        ...

    def preview(self, row: RowT) -> U8:
        """A small picture of the scene's present state, uint8 hxwx3 RGB."""
        ...

    def decode(self, rows: Sequence[RowT]) -> Sequence[Render]:
        """The renders of finished scenes, in order."""
        ...


STEP_S = 0.05
"""Assumed seconds of a step of one scene, until one has been measured."""


class RenderBatcher(Generic[RowT]):
    """Render scenes with an engine. A step has at most `max_rows` batch rows, unless one scene alone needs more.

    One call of the networks never has more. `max_begun` is the largest number of scenes that may hold memory in the
    engine, where each window of a scene counts as one; 0 = twice `max_rows`. `policy` chooses the scenes of each step.
    `curve` is the engine's batch curve, by which catalogue scenes are parked; without it none is. `thread` is the
    thread that owns the engine (`packshot.models.device.model_thread`); without it the batcher starts a thread. Use a
    RenderBatcher from one event loop only.
    """

    def __init__(
        self,
        engine: Engine[RowT],
        *,
        max_rows: int,
        max_begun: int = 0,
        policy: Policy | None = None,
        curve: StepCurve | None = None,
        meter: Meter | None = None,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self.max_rows = max_rows
        self.max_begun = max_begun
        self._engine = engine
        self._policy = policy or Policy()
        self._curve = curve
        self._meter = meter or NoMeter()
        self._jobs: list[Job[RowT]] = []
        self._parked: set[Job[RowT]] = set()
        """The scenes that wait for people in this tick."""
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="model")
        self._worker: asyncio.Task[None] | None = None
        self.clock = CallClock()
        self._spent_s = 0.0  # how long the engine's last call took, without the wait for its thread
        self._step_s = STEP_S
        self._memory_max_rows = 1 << 30
        """Half the batch rows of the last step that ran out of memory."""

    async def render(
        self,
        scene: Scene,
        progress: Progress | None = None,
        *,
        preview_every_s: float = 0.0,
        interactive: bool = True,
        alone: bool = False,
    ) -> Rendered:
        """Return the painted scene. If the caller is cancelled, the scene is dropped before the next step.

        `progress` is called after each step of the scene. It gets a preview every `preview_every_s` seconds, or never
        if that is 0. `interactive` says that a person waits for the scene. `alone` renders the scene unbatched, with no
        other scene in the engine, because this shot may have crashed a replica.
        """
        future: asyncio.Future[Rendered] = asyncio.get_running_loop().create_future()
        key, rows = self._engine.batch_key(scene), self._engine.rows(scene)
        self._jobs.append(Job(scene, key, rows, interactive, future, progress, preview_every_s, alone))
        if self._worker is None or self._worker.done():
            # An empty context: the loop works for every scene, not for the one that starts it.
            self._worker = asyncio.create_task(self._loop(), context=contextvars.Context())
        return await future

    @property
    def waiting(self) -> int:
        """The number of scenes that have not begun."""
        return sum(job.row is None for job in self._jobs)

    @property
    def begun(self) -> int:
        """The number of begun scenes."""
        return sum(job.row is not None for job in self._jobs)

    @property
    def parked_rows(self) -> int:
        """The batch rows of begun scenes that are parked."""
        return sum(job.rows for job in self._parked if job.row is not None)

    def close(self) -> None:
        """Stop the thread after its current call."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _loop(self) -> None:
        while True:
            began_s = time.monotonic()
            self._parked.clear()
            self._drop_finished()
            await self._decode()
            await self._begin()
            self._drop_finished()
            if group := self._group(self._denoising()):
                if self._curve is not None and group[0].interactive:
                    self._parked.update(job for job in self._denoising() if not job.interactive)
                self._parked.difference_update(group)
                self._meter.set("packshot_denoise_parked_rows", self.parked_rows)
                await self._step(group)
                await self._report(group)
            elif not self._jobs:
                self._meter.set("packshot_denoise_parked_rows", 0)
                return
            for job in self._parked:
                job.parked_s += time.monotonic() - began_s

    def _drop_finished(self) -> None:
        """Drop the scenes that have a result or an error, or whose caller was cancelled."""
        self._jobs = [job for job in self._jobs if not job.future.done()]

    def _denoising(self) -> list[Job[RowT]]:
        """The begun scenes that have steps left."""
        return [job for job in self._jobs if job.row is not None and not job.row.done]

    @property
    def _call_rows(self) -> int:
        """The most batch rows of one call of the networks."""
        return max(1, min(self.max_rows, self._memory_max_rows))

    def _group(self, jobs: list[Job[RowT]]) -> list[Job[RowT]]:
        """The scenes of these that take the next step. Those that are parked are noted."""
        group = self._policy.group(jobs, time.monotonic(), self._step_s, self._call_rows)
        if self._curve is None:
            return group
        taken, parked = self._policy.park(group, self._curve)
        self._parked.update(parked)
        return taken

    def _decodable(self) -> list[Job[RowT]]:
        """The scenes whose steps are completed; without the parked ones while a person's scene has steps left."""
        completed = [job for job in self._jobs if job.row is not None and job.row.done]
        if self._curve is None or not any(job.interactive for job in self._denoising()):
            return completed
        parked = [job for job in completed if self._policy.may_park(job)]
        self._parked.update(parked)
        return [job for job in completed if job not in parked]

    async def _decode(self) -> None:
        """Decode one scene whose steps are completed; decode all of them if no scene has steps left."""
        completed = self._decodable()
        for job in completed[:1] if self._denoising() else completed:
            try:
                [render] = await self._in_engine(self._engine.decode, [_row(job)])
            except Exception as error:  # noqa: BLE001 - the error is raised to the scene's caller
                _fail(job, error)
                continue
            decoded_s = job.ended_at["decode"] = time.monotonic()
            job.device_s += self._spent_s
            job.record("decode", job.ended_at["steps"], decoded_s)
            if not job.future.done():
                job.future.set_result(Rendered(render, job.milliseconds()))

    async def _begin(self) -> None:
        """Begin one scene that the policy wants in the next step; begin the whole group if no scene has steps left."""
        denoising = self._denoising()
        if any(job.alone for job in denoising):
            return
        waiting = [job for job in self._jobs if job.row is None]
        group = self._group([*denoising, *waiting])
        if group and group[0].alone:  # it must wait until the engine is empty, and no later scene may begin before it
            chosen = [] if denoising else group[:1]
        else:
            chosen = [job for job in group if job.row is None and not job.alone]
        for job in chosen[:1] if denoising else chosen:
            if not self._fits(job):
                return
            queued_s = job.ended_at["queue"] = time.monotonic()
            job.record("queue wait", job.since_s, queued_s)
            try:
                job.row = await self._in_engine(self._engine.begin, job.scene)
            except Exception as error:  # noqa: BLE001 - the error is raised to the scene's caller
                _fail(job, error)
            begun_s = job.ended_at["begin"] = time.monotonic()
            job.device_s += self._spent_s
            job.record("begin", queued_s, begun_s)

    def _fits(self, job: Job[RowT]) -> bool:
        """Whether there is memory to begin the scene. Catalogue scenes leave room for a full batch of interactive ones.

        A scene that needs more than there is for its kind begins when no other of the kind is begun.
        """
        most = self.max_begun or 2 * self.max_rows
        begun = [one for one in self._jobs if one.row is not None]
        bulk = [one for one in begun if not one.interactive]

        def within(others: list[Job[RowT]], room: int) -> bool:
            return not others or sum(one.held for one in others) + job.held <= room

        return within(begun, most) and (job.interactive or within(bulk, max(1, most - self.max_rows)))

    async def _step(self, group: list[Job[RowT]]) -> None:
        rows = min(sum(job.rows for job in group), self._call_rows)
        began = time.monotonic()
        try:
            await self._in_engine(self._engine.step, [_row(job) for job in group], self._call_rows)
        except Exception as error:  # noqa: BLE001 - an error of the whole call fails the scenes of this step only
            if _out_of_memory(error) and rows > 1:
                self._memory_max_rows = rows // 2
                return
            for job in group:
                _row(job).error = error
        now = time.monotonic()
        if len(group) == 1:
            self._step_s += 0.2 * (now - began - self._step_s)
        all_rows = sum(job.rows for job in group)
        for job in group:
            job.device_s += self._spent_s * job.rows / all_rows
            job.ended_at["steps"] = now
            job.stepped(len(group), rows, began)
            if _row(job).done or _row(job).error is not None:
                job.end_shared(now)
        self._meter.count("packshot_denoise_steps_total", len(group))
        self._meter.observe("packshot_denoise_batch_rows", len(group))

    async def _report(self, group: list[Job[RowT]]) -> None:
        for job in group:
            row = _row(job)
            if row.error is not None:
                _fail(job, row.error)
            elif not job.future.done() and job.progress is not None:
                preview = None
                if job.preview_due and not row.done:
                    preview = await self._in_engine(self._engine.preview, row)
                    job.previewed_at = time.monotonic()
                job.progress(row.index, row.steps, preview)

    async def _in_engine(self, call: Callable[..., Result], *args: object) -> Result:
        def timed() -> Result:
            began = time.monotonic()
            try:
                return call(*args)
            finally:
                self._spent_s = time.monotonic() - began

        with self.clock.call():
            return await asyncio.get_running_loop().run_in_executor(self._thread, timed)


Result = TypeVar("Result")


def _row(job: Job[RowT]) -> RowT:
    assert job.row is not None, "a begun scene has a row"
    return job.row


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, EngineFailed) and error.code == "engine_out_of_memory"


def _fail(job: Job[RowT], error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
