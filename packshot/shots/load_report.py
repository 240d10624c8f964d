"""What a director tells the autoscaler: work that waits in the store, and how fast more of it comes."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from packshot.store.records import Load, QueueLoad

FAST_S, SLOW_S = 15.0, 120.0
"""Windows over which arrivals are counted: one that sees a burst, one that sees past chance."""


QUERY_SHARE = 0.05
"""The share of time that one director's questions may keep the store busy: to count 50,000 waiting shots takes long."""


class HasLoad(Protocol):
    """The store's queue, or what stands for it in a simulation."""

    def load(self, since_seq: int | None = None) -> QueueLoad: ...


class LoadReport:
    """Looks at the store at each call; every replica of the director may hold one and reports the whole store.

    Keys of the report: `{interactive,catalogue}_{waiting,running}_{shots,pictures,row_steps}`, and per second
    `{interactive,catalogue}_{fast,slow}_{shots,pictures,row_steps}`; `seen_s`, how long arrivals were watched.
    """

    def __init__(self, queue: HasLoad, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._seq: int | None = None
        self._began_s = clock()
        self._came: deque[tuple[float, dict[str, Load]]] = deque()
        self._report: dict[str, float] = {}
        self._fresh_until_s = -math.inf

    def __call__(self) -> dict[str, float]:
        asked_at_s = self._clock()
        if asked_at_s >= self._fresh_until_s:
            self._report = self._look()
            self._fresh_until_s = self._clock() + (self._clock() - asked_at_s) / QUERY_SHARE
        return self._report

    def _look(self) -> dict[str, float]:
        load = self._queue.load(self._seq)
        self._seq = load.last_seq
        now = self._clock()
        flows = {"interactive": load.interactive, "catalogue": load.catalogue}
        self._came.append((now, {priority: flow.arrived for priority, flow in flows.items()}))
        while self._came[0][0] < now - SLOW_S:
            self._came.popleft()
        watched_s = now - self._began_s
        report = {"seen_s": min(SLOW_S, watched_s)}
        for priority, flow in flows.items():
            report |= _named(f"{priority}_waiting", flow.waiting)
            report |= _named(f"{priority}_running", flow.running)
            for name, window_s in (("fast", FAST_S), ("slow", SLOW_S)):
                came = _sum(work[priority] for at_s, work in self._came if at_s > now - window_s)
                seen_s = max(min(window_s, watched_s), FAST_S)
                report |= {key: value / seen_s for key, value in _named(f"{priority}_{name}", came).items()}
        return report


def _named(prefix: str, work: Load) -> dict[str, float]:
    return {
        f"{prefix}_shots": float(work.shots),
        f"{prefix}_pictures": float(work.pictures),
        f"{prefix}_row_steps": float(work.row_steps),
    }


def _sum(works: Iterable[Load]) -> Load:
    shots = pictures = row_steps = 0
    for work in works:
        shots, pictures, row_steps = shots + work.shots, pictures + work.pictures, row_steps + work.row_steps
    return Load(shots, pictures, row_steps)
