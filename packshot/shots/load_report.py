"""A director's report to the autoscaler: the load of the store's queue and the rate of arrivals."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from packshot.store.records import Load, QueueLoad

FAST_S, SLOW_S = 15.0, 120.0
"""Windows of the arrival rates, in seconds: a short one that shows bursts, and a long one that evens out chance."""

QUERY_SHARE = 0.05
"""Largest share of time for which one director's queries may occupy the store. Counting 50,000 shots is slow."""


class HasLoad(Protocol):
    """The store's queue, or its stand-in in a simulation."""

    def load(self, since_seq: int | None = None) -> QueueLoad: ...


class LoadReport:
    """Queries the store at each call, within `QUERY_SHARE`. Each replica of the director reports the whole store.

    `queue` is queried. `clock` gives monotonic seconds.

    Keys of the report: `{interactive,catalogue}_{waiting,running}_{shots,pictures,row_steps}` are sums;
    `{interactive,catalogue}_{fast,slow}_{shots,pictures,row_steps}` are arrivals per second in the window `FAST_S` or
    `SLOW_S`; `seen_s` is for how many seconds arrivals were counted, at most `SLOW_S`; `age_s` is how many seconds ago
    the store was read.
    """

    def __init__(self, queue: HasLoad, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._seq: int | None = None
        self._began_s = clock()
        self._arrivals: deque[tuple[float, dict[str, Load]]] = deque()
        self._report: dict[str, float] = {}
        self._read_at_s = self._fresh_until_s = -math.inf

    def __call__(self) -> dict[str, float]:
        asked_at_s = self._clock()
        if asked_at_s >= self._fresh_until_s:
            self._report = self._query()
            self._read_at_s = self._clock()
            self._fresh_until_s = self._read_at_s + (self._read_at_s - asked_at_s) / QUERY_SHARE
        return {**self._report, "age_s": self._clock() - self._read_at_s}

    def _query(self) -> dict[str, float]:
        queue_load = self._queue.load(self._seq)
        self._seq = queue_load.last_seq
        now = self._clock()
        flows = {"interactive": queue_load.interactive, "catalogue": queue_load.catalogue}
        self._arrivals.append((now, {priority: flow.arrived for priority, flow in flows.items()}))
        while self._arrivals[0][0] < now - SLOW_S:
            self._arrivals.popleft()
        watched_s = now - self._began_s
        report = {"seen_s": min(SLOW_S, watched_s)}
        for priority, flow in flows.items():
            report |= _named(f"{priority}_waiting", flow.waiting)
            report |= _named(f"{priority}_running", flow.running)
            for name, window_s in (("fast", FAST_S), ("slow", SLOW_S)):
                arrived = _sum(load[priority] for at_s, load in self._arrivals if at_s > now - window_s)
                seen_s = max(min(window_s, watched_s), FAST_S)
                report |= {key: value / seen_s for key, value in _named(f"{priority}_{name}", arrived).items()}
        return report


def _named(prefix: str, load: Load) -> dict[str, float]:
    return {
        f"{prefix}_shots": float(load.shots),
        f"{prefix}_pictures": float(load.pictures),
        f"{prefix}_row_steps": float(load.row_steps),
    }


def _sum(loads: Iterable[Load]) -> Load:
    shots = pictures = row_steps = 0
    for load in loads:
        shots, pictures, row_steps = shots + load.shots, pictures + load.pictures, row_steps + load.row_steps
    return Load(shots, pictures, row_steps)
