"""The store on paper: which shot is claimed next (packshot/store/queue_order.py's order), and how much waits."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cluster.simulate.traces import Arrival
from packshot.store.queue_order import AGEING_S
from packshot.store.records import Flow, Load, QueueLoad


@dataclass(eq=False)
class Shot:
    """An arrival and what became of it. Times in seconds; infinity before."""

    arrival: Arrival
    claimed_s: float = float("inf")
    done_s: float = float("inf")

    @property
    def latency_s(self) -> float:
        return self.done_s - self.arrival.at_s

    @property
    def row_steps(self) -> int:
        return self.arrival.pictures * self.arrival.steps * self.arrival.rows


class Queue:
    """Waiting shots by priority and tenant, each oldest first. `row_steps_left`: of what runs,
    asked when a report is made."""

    def __init__(self, now: Callable[[], float], row_steps_left: Callable[[bool], float]) -> None:
        self._now = now
        self._row_steps_left = row_steps_left
        self._waiting: dict[bool, dict[int, deque[Shot]]] = {True: {}, False: {}}
        self._running: dict[int, int] = {}
        self._catalogue_claimed_s: dict[int, float] = {}
        self._waits = {True: Load(), False: Load()}
        self._runs = {True: Load(), False: Load()}
        self._came = {True: Load(), False: Load()}
        self._seq = 0
        self._came_before = {0: dict(self._came)}

    def add(self, shot: Shot) -> None:
        kind, work = shot.arrival.interactive, _work(shot)
        self._waiting[kind].setdefault(shot.arrival.tenant, deque()).append(shot)
        self._waits[kind] = _plus(self._waits[kind], work)
        self._came[kind] = _plus(self._came[kind], work)
        self._seq += 1

    def claim(self) -> Shot | None:
        """Interactive before catalogue, an aged one of each tenant between;
        then the tenant with the fewest running; then the oldest."""
        now = self._now()
        people = [line[0] for line in self._waiting[True].values()]
        aged = [
            line[0]
            for tenant, line in self._waiting[False].items()
            if line[0].arrival.at_s < now - AGEING_S and self._catalogue_claimed_s.get(tenant, -1e9) <= now - AGEING_S
        ]
        rest = [line[0] for line in self._waiting[False].values()]
        first = people + aged or rest
        if not first:
            return None
        shot = heapq.nsmallest(1, first, key=lambda s: (self._running.get(s.arrival.tenant, 0), s.arrival.at_s))[0]
        kind, tenant = shot.arrival.interactive, shot.arrival.tenant
        self._waiting[kind][tenant].popleft()
        if not self._waiting[kind][tenant]:
            del self._waiting[kind][tenant]
        if not kind:
            self._catalogue_claimed_s[tenant] = now
        self._running[tenant] = self._running.get(tenant, 0) + 1
        self._waits[kind] = _plus(self._waits[kind], _work(shot), -1)
        self._runs[kind] = _plus(self._runs[kind], _work(shot))
        shot.claimed_s = now
        return shot

    def commit(self, shot: Shot) -> None:
        kind = shot.arrival.interactive
        self._running[shot.arrival.tenant] -= 1
        self._runs[kind] = _plus(self._runs[kind], _work(shot), -1)
        shot.done_s = self._now()

    @property
    def waiting(self) -> dict[bool, Load]:
        return self._waits

    def load(self, since_seq: int | None = None) -> QueueLoad:
        """As the store's `Queue.load`; `since_seq` must be the last one handed out."""
        before = self._came if since_seq is None else self._came_before[since_seq]
        flows = [
            Flow(
                self._waits[kind],
                Load(self._runs[kind].shots, self._runs[kind].pictures, round(self._row_steps_left(kind))),
                _plus(self._came[kind], before[kind], -1),
            )
            for kind in (True, False)
        ]
        self._came_before = {self._seq: dict(self._came)}
        return QueueLoad(self._seq, *flows)


def _work(shot: Shot) -> Load:
    return Load(1, shot.arrival.pictures, shot.row_steps)


def _plus(one: Load, other: Load, sign: int = 1) -> Load:
    return Load(
        one.shots + sign * other.shots, one.pictures + sign * other.pictures, one.row_steps + sign * other.row_steps
    )
