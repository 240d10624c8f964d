"""The render batcher: rows of different requests share each denoising step.

One thread owns the engine. Between two steps the event loop lets rows in, lets cancelled rows go and takes finished
ones out; a row that fails leaves alone. Rows whose latents have another size wait their turn: sizes step in rotation.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from packshot.meter import Meter, NoMeter
from packshot.types import U8, Render, Scene


class Row(Protocol):
    """A scene on its way: what the batcher needs of `packshot.models.denoise.Denoising`."""

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

    def begin(self, scene: Scene) -> RowT: ...

    def step(self, rows: Sequence[RowT]) -> None: ...

    def preview(self, row: RowT) -> U8: ...

    def decode(self, rows: Sequence[RowT]) -> Sequence[Render]: ...


Progress = Callable[[int, int, U8 | None], None]
"""Called in the event loop after a step: (step, steps, preview or None)."""


@dataclass(eq=False)
class _Job(Generic[RowT]):
    scene: Scene
    key: Hashable
    answer: asyncio.Future[Render]
    progress: Progress | None
    preview_every_s: float
    alone: bool
    previewed_at: float = field(default_factory=time.monotonic)
    row: RowT | None = None

    @property
    def wants_preview(self) -> bool:
        return self.preview_every_s > 0 and time.monotonic() - self.previewed_at >= self.preview_every_s


class RenderBatcher(Generic[RowT]):
    """Render scenes with at most `max_rows` of them in the engine at once. Use it from one event loop."""

    def __init__(
        self,
        engine: Engine[RowT],
        *,
        max_rows: int,
        meter: Meter | None = None,
        thread_setup: Callable[[], None] = lambda: None,
    ) -> None:
        self.max_rows = max_rows
        self._engine = engine
        self._meter = meter or NoMeter()
        self._waiting: deque[_Job[RowT]] = deque()
        self._active: deque[_Job[RowT]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine", initializer=thread_setup)
        self._worker: asyncio.Task[None] | None = None
        self._started_at: float | None = None

    async def render(
        self, scene: Scene, progress: Progress | None = None, *, preview_every_s: float = 0.0, alone: bool = False
    ) -> Render:
        """The painted scene. Cancelling frees its row at the next step.

        `preview_every_s` = 0: no previews. `alone`: no other row is in the engine meanwhile (a shot whose last run
        ended in a crash must not take others with it).
        """
        answer: asyncio.Future[Render] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(scene, self._engine.batch_key(scene), answer, progress, preview_every_s, alone))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._loop())
        return await answer

    @property
    def waiting(self) -> int:
        """Scenes not started yet."""
        return len(self._waiting)

    @property
    def rows(self) -> int:
        """Scenes in the engine."""
        return len(self._active)

    @property
    def busy_s(self) -> float:
        """Seconds that the engine's present call has run; 0 between calls. A health check reads it."""
        return 0.0 if self._started_at is None else time.monotonic() - self._started_at

    def close(self) -> None:
        """Let the thread end after its call."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _loop(self) -> None:
        while True:
            await self._admit()
            if not self._active:
                return
            group = self._next_group()
            await self._step(group)
            await self._finish(group)

    async def _admit(self) -> None:
        self._active = deque(job for job in self._active if not job.answer.done())
        while self._waiting and len(self._active) < self.max_rows:
            if self._active and (self._active[0].alone or self._waiting[0].alone):
                return
            job = self._waiting.popleft()
            if job.answer.done():
                continue
            try:
                job.row = await self._in_engine(self._engine.begin, job.scene)
            except Exception as error:  # noqa: BLE001 - it is told to the scene's own caller
                _fail(job, error)
            else:
                self._active.append(job)

    def _next_group(self) -> list[_Job[RowT]]:
        """The rows of the size whose turn it is; their turn comes again after the other sizes'."""
        key = self._active[0].key
        group = [job for job in self._active if job.key == key]
        self._active = deque([job for job in self._active if job.key != key] + group)
        return group

    async def _step(self, group: list[_Job[RowT]]) -> None:
        try:
            await self._in_engine(self._engine.step, [_row(job) for job in group])
        except Exception as error:  # noqa: BLE001 - a call that fails as a whole fails its rows, and only them
            for job in group:
                _row(job).error = error
        self._meter.count("packshot_denoise_steps_total", len(group))
        self._meter.observe("packshot_denoise_batch_rows", len(group))

    async def _finish(self, group: list[_Job[RowT]]) -> None:
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
        finished = [job for job in group if _row(job).done and not job.answer.done()]
        if finished:
            try:
                renders = await self._in_engine(self._engine.decode, [_row(job) for job in finished])
            except Exception as error:  # noqa: BLE001 - as in _step
                for job in finished:
                    _fail(job, error)
            else:
                for job, render in zip(finished, renders, strict=True):
                    if not job.answer.done():
                        job.answer.set_result(render)
        self._active = deque(job for job in self._active if not job.answer.done())

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


def _fail(job: _Job[RowT], error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)
