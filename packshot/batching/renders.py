"""The render batcher: rows of different requests share each denoising step.

One thread owns the engine. A tick is: decode what is finished, begin what is urgent, one step of the group that the
policy chooses, reports. Rows that are on their way wait for at most one decode and one beginning between two of their
steps. Cancelled rows go at the next tick, a row that fails leaves alone, and a step that does not fit into memory is
taken again by half as many rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from packshot.batching.policy import Policy
from packshot.errors import EngineFailed
from packshot.meter import Meter, NoMeter
from packshot.types import U8, Render, Scene


class Row(Protocol):
    """A scene on its way: what the batcher needs of `packshot.models.engines.unet_controlnet.Denoising`."""

    error: Exception | None

    @property
    def index(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def done(self) -> bool: ...


RowT = TypeVar("RowT", bound=Row)


class Engine(Protocol[RowT]):
    """What the batcher needs of an engine; every call comes from the batcher's one thread."""

    def batch_key(self, scene: Scene) -> Hashable: ...

    def rows(self, scene: Scene) -> int: ...

    def begin(self, scene: Scene) -> RowT: ...

    def step(self, rows: Sequence[RowT]) -> None: ...

    def preview(self, row: RowT) -> U8: ...

    def decode(self, rows: Sequence[RowT]) -> Sequence[Render]: ...


Progress = Callable[[int, int, U8 | None], None]
"""Called in the event loop after a step: (step, steps, preview or None)."""


class Rendered(NamedTuple):
    """A painted scene, and milliseconds of its stages: queue, begin, steps (waits between them included), decode."""

    render: Render
    milliseconds: dict[str, float]


@dataclass(eq=False)
class _Job(Generic[RowT]):
    """A scene from arrival to answer; `policy.PendingScene`."""

    scene: Scene
    key: Hashable
    rows: int
    interactive: bool
    answer: asyncio.Future[Rendered]
    progress: Progress | None
    preview_every_s: float
    alone: bool
    since_s: float = field(default_factory=time.monotonic)
    previewed_at: float = field(default_factory=time.monotonic)
    marks: dict[str, float] = field(default_factory=dict)
    row: RowT | None = None

    @property
    def steps_left(self) -> int:
        return self.scene.brief.steps if self.row is None else self.row.steps - self.row.index

    @property
    def wants_preview(self) -> bool:
        return self.preview_every_s > 0 and time.monotonic() - self.previewed_at >= self.preview_every_s

    def milliseconds(self) -> dict[str, float]:
        times = [self.since_s, *(self.marks[name] for name in STAGES)]
        return {name: (end - start) * 1000 for name, start, end in zip(STAGES, times, times[1:], strict=False)}


STAGES = ("queue", "begin", "steps", "decode")
STEP_S = 0.05
"""What a lone step is taken to last until one has been timed."""


class RenderBatcher(Generic[RowT]):
    """Render scenes, at most `max_rows` rows of the network's batch a step. Use it from one event loop.

    `max_begun`: scenes that may hold memory in the engine at once; 0 = twice the rows. `thread`: the engine's
    (`packshot.models.device.model_thread`); a new one otherwise.
    """

    def __init__(
        self,
        engine: Engine[RowT],
        *,
        max_rows: int,
        max_begun: int = 0,
        policy: Policy | None = None,
        meter: Meter | None = None,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self.max_rows = max_rows
        self.max_begun = max_begun
        self._engine = engine
        self._policy = policy or Policy()
        self._meter = meter or NoMeter()
        self._jobs: list[_Job[RowT]] = []
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="model")
        self._worker: asyncio.Task[None] | None = None
        self._started_at: float | None = None
        self._step_s = STEP_S
        self._fits = 1 << 30
        """Rows that a step had when it last ran out of memory, halved."""

    async def render(
        self,
        scene: Scene,
        progress: Progress | None = None,
        *,
        preview_every_s: float = 0.0,
        interactive: bool = True,
        alone: bool = False,
    ) -> Rendered:
        """The painted scene. Cancelling frees its row at the next step.

        `preview_every_s` = 0: no previews. `interactive`: a person waits. `alone`: no other row is in the engine
        meanwhile (a shot whose last run ended in a crash must not take others with it).
        """
        answer: asyncio.Future[Rendered] = asyncio.get_running_loop().create_future()
        key, rows = self._engine.batch_key(scene), self._engine.rows(scene)
        self._jobs.append(_Job(scene, key, rows, interactive, answer, progress, preview_every_s, alone))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._loop())
        return await answer

    @property
    def waiting(self) -> int:
        """Scenes not started yet."""
        return sum(job.row is None for job in self._jobs)

    @property
    def rows(self) -> int:
        """Scenes in the engine."""
        return sum(job.row is not None for job in self._jobs)

    @property
    def busy_s(self) -> float:
        """Seconds that the engine's present call has run; 0 between calls. A health check reads it."""
        return 0.0 if self._started_at is None else time.monotonic() - self._started_at

    def close(self) -> None:
        """Let the thread end after its call."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _loop(self) -> None:
        while True:
            self._drop_answered()
            await self._decode()
            await self._begin()
            self._drop_answered()
            if group := self._group(self._going()):
                await self._step(group)
                await self._report(group)
            elif not self._jobs:
                return

    def _drop_answered(self) -> None:
        self._jobs = [job for job in self._jobs if not job.answer.done()]

    def _going(self) -> list[_Job[RowT]]:
        """Scenes in the engine that have steps to take."""
        return [job for job in self._jobs if job.row is not None and not job.row.done]

    def _group(self, jobs: list[_Job[RowT]]) -> list[_Job[RowT]]:
        return self._policy.group(jobs, time.monotonic(), self._step_s, min(self.max_rows, self._fits))

    async def _decode(self) -> None:
        """What is finished: one scene while others are on their way, else all."""
        finished = [job for job in self._jobs if job.row is not None and job.row.done]
        for job in finished[:1] if self._going() else finished:
            try:
                [render] = await self._in_engine(self._engine.decode, [_row(job)])
            except Exception as error:  # noqa: BLE001 - it is told to the scene's own caller
                _fail(job, error)
                continue
            job.marks["decode"] = time.monotonic()
            if not job.answer.done():
                job.answer.set_result(Rendered(render, job.milliseconds()))

    async def _begin(self) -> None:
        """What the next step would want: one scene while others are on their way, else the whole group."""
        going = self._going()
        if any(job.alone for job in going):
            return
        room = (self.max_begun or 2 * self.max_rows) - self.rows
        waiting = [job for job in self._jobs if job.row is None]
        group = self._group([*going, *waiting])
        if group and group[0].alone:  # it waits until the engine is empty, and so does all that comes after it
            fresh = [] if going else group[:1]
        else:
            fresh = [job for job in group if job.row is None and not job.alone]
        for job in fresh[: min(max(room, 0), 1 if going else room)]:
            job.marks["queue"] = time.monotonic()
            try:
                job.row = await self._in_engine(self._engine.begin, job.scene)
            except Exception as error:  # noqa: BLE001 - it is told to the scene's own caller
                _fail(job, error)
            job.marks["begin"] = time.monotonic()

    async def _step(self, group: list[_Job[RowT]]) -> None:
        rows = sum(job.rows for job in group)
        began = time.monotonic()
        try:
            await self._in_engine(self._engine.step, [_row(job) for job in group])
        except Exception as error:  # noqa: BLE001 - a call that fails as a whole fails its rows, and only them
            if _out_of_memory(error) and len(group) > 1:
                self._fits = rows // 2
                return
            for job in group:
                _row(job).error = error
        now = time.monotonic()
        if len(group) == 1:
            self._step_s += 0.2 * (now - began - self._step_s)
        for job in group:
            job.marks["steps"] = now
        self._meter.count("packshot_denoise_steps_total", len(group))
        self._meter.observe("packshot_denoise_batch_rows", len(group))

    async def _report(self, group: list[_Job[RowT]]) -> None:
        for job in group:
            row = _row(job)
            if row.error is not None:
                _fail(job, row.error)
            elif not job.answer.done() and job.progress is not None:
                preview = None
                if job.wants_preview and not row.done:
                    preview = await self._in_engine(self._engine.preview, row)
                    job.previewed_at = time.monotonic()
                job.progress(row.index, row.steps, preview)

    async def _in_engine(self, call: Callable[..., Result], *args: object) -> Result:
        self._started_at = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
        finally:
            self._started_at = None


Result = TypeVar("Result")


def _row(job: _Job[RowT]) -> RowT:
    assert job.row is not None, "a job in the engine has a row"
    return job.row


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, EngineFailed) and error.code == "engine_out_of_memory"


def _fail(job: _Job[RowT], error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)
