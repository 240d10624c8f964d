"""A scene on its way through the render batcher: what is known of it, its times, and its spans."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from packshot.telemetry import traces
from packshot.types import U8, Render, Scene


class Row(Protocol):
    """The engine's state of a begun scene. `packshot.models.engines.denoising.Denoising` implements it.

    `error` is the reason why this scene cannot continue, or None.
    """

    error: Exception | None

    @property
    def index(self) -> int:
        """The number of completed steps."""
        ...

    @property
    def steps(self) -> int:
        """The number of all steps."""
        ...

    @property
    def done(self) -> bool:
        """Whether all steps are completed."""
        ...


RowT = TypeVar("RowT", bound=Row)


Progress = Callable[[int, int, U8 | None], None]
"""A callback (completed steps, all steps, preview or None). The batcher calls it in the event loop after a step."""


class Rendered(NamedTuple):
    """A painted scene, and the milliseconds of its stages.

    The stages are `queue`, `begin`, `steps` (which includes the waits between steps) and `decode`. `device` is the
    scene's share of the time for which the engine worked, or the price of a vendor's picture in device-seconds.
    """

    render: Render
    milliseconds: dict[str, float]


@dataclass(eq=False)
class Job(Generic[RowT]):
    """A scene from its arrival to its result. It is a `policy.PendingScene`."""

    scene: Scene
    key: Hashable
    rows: int
    interactive: bool
    future: asyncio.Future[Rendered]
    progress: Progress | None
    preview_every_s: float
    alone: bool
    since_s: float = field(default_factory=time.monotonic)
    previewed_at: float = field(default_factory=time.monotonic)
    ended_at: dict[str, float] = field(default_factory=dict)
    """The time at which each stage ended."""
    device_s: float = 0.0
    """Seconds for which the engine worked on this scene: of a shared step, the part of its rows."""
    row: RowT | None = None
    parked_s: float = 0.0
    place: traces.SpanContext = field(default_factory=traces.current)
    shared: Shared | None = None

    @property
    def steps_left(self) -> int:
        return self.scene.brief.steps if self.row is None else self.row.steps - self.row.index

    @property
    def held(self) -> int:
        """How many scenes of one window hold as much memory in the engine: the windows, and their outline."""
        windows = self.rows // self.scene.brief.rows_per_step
        return windows + 1 if windows > 1 else 1

    @property
    def preview_due(self) -> bool:
        return self.preview_every_s > 0 and time.monotonic() - self.previewed_at >= self.preview_every_s

    def milliseconds(self) -> dict[str, float]:
        times = [self.since_s, *(self.ended_at[name] for name in STAGES)]
        stages = {name: (end - start) * 1000 for name, start, end in zip(STAGES, times, times[1:], strict=False)}
        return {**stages, "device": self.device_s * 1000}

    def stepped(self, scenes: int, rows: int, began_s: float) -> None:
        """Note a step for the trace. One span covers the steps that the same number of scenes took together."""
        if self.place is None:
            return
        if self.shared is None or self.shared.scenes != scenes:
            self.end_shared(began_s)
            self.shared = Shared(scenes, rows, began_s)
        self.shared.steps += 1

    def end_shared(self, now_s: float) -> None:
        """Record the span of the last steps."""
        if self.shared is not None:
            shared, self.shared = self.shared, None
            self.record("step batch", shared.began_s, now_s, scenes=shared.scenes, rows=shared.rows, steps=shared.steps)

    def record(self, name: str, began_s: float, ended_s: float, **attributes: int) -> None:
        """Record a span of this scene. Times are of `time.monotonic`."""
        if self.place is not None:
            offset_s = time.time() - time.monotonic()
            began_ns, ended_ns = (int((at_s + offset_s) * 1e9) for at_s in (began_s, ended_s))
            traces.record(name, began_ns, ended_ns, self.place, **attributes)


@dataclass
class Shared:
    """Consecutive steps of a scene with the same number of scenes, and the batch rows of each."""

    scenes: int
    rows: int
    began_s: float
    steps: int = 0


STAGES = ("queue", "begin", "steps", "decode")
