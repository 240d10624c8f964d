"""The simulated store: the order of claims (that of packshot/store/queue_order.py), and the amount of waiting work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cluster.simulate.traces import Arrival
from packshot.store.queue_order import AGEING_S, PICTURE_ROW_STEPS
from packshot.store.records import Flow, Load, QueueLoad


@dataclass(eq=False)
class Shot:
    """An arrival and when it was claimed and done, in seconds of the simulation (infinite until then)."""

    arrival: Arrival
    claimed_s: float = float("inf")
    done_s: float = float("inf")

    @property
    def latency_s(self) -> float:
        """Seconds from arrival to done."""
        return self.done_s - self.arrival.at_s

    @property
    def row_steps(self) -> int:
        """The shot's work in the generator."""
        return self.arrival.pictures * self.arrival.steps * self.arrival.rows


class Queue:
    """The waiting shots by priority and tenant, oldest first.

    `now` gives the simulated time in seconds. `row_steps_left` gives the row-steps that the running shots of a priority
    (True = interactive) still need.
    """

    def __init__(self, now: Callable[[], float], row_steps_left: Callable[[bool], float]) -> None:
        self._now = now
        self._row_steps_left = row_steps_left
        self._waiting: dict[bool, dict[int, deque[Shot]]] = {True: {}, False: {}}
        self._now_turn = {True: 0.0, False: 0.0}
        self._next_turn: dict[tuple[bool, int], float] = {}
        self._catalogue_claimed_s: dict[int, float] = {}
        self._waits = {True: Load(), False: Load()}
        self._runs = {True: Load(), False: Load()}
        self._came = {True: Load(), False: Load()}
        self._seq = 0
        self._came_before = {0: dict(self._came)}

    def add(self, shot: Shot) -> None:
        """Add a shot."""
        kind, work = shot.arrival.interactive, _work(shot)
        self._waiting[kind].setdefault(shot.arrival.tenant, deque()).append(shot)
        self._waits[kind] = _plus(self._waits[kind], work)
        self._came[kind] = _plus(self._came[kind], work)
        self._seq += 1

    def claim(self, people_only: bool = False) -> Shot | None:
        """Claim the first shot; None when none waits. `people_only` claims no catalogue shot.

        One aged catalogue shot of each tenant comes first, then interactive shots, then other catalogue shots. Among
        the lines of a priority, the one with the smallest turn is next: tenants share the work equally.
        """
        now = self._now()
        aged = [
            queue[0]
            for tenant, queue in self._waiting[False].items()
            if queue[0].arrival.at_s < now - AGEING_S and self._catalogue_claimed_s.get(tenant, -1e9) <= now - AGEING_S
        ]
        kinds = (True,) if people_only else (True, False)
        heads = next((found for kind in kinds if (found := [line[0] for line in self._waiting[kind].values()])), [])
        if aged and not people_only:
            shot = min(aged, key=lambda one: one.arrival.at_s)
            turn = self._now_turn[False]
        elif heads:
            shot = min(heads, key=lambda one: (self._turn(one), one.arrival.at_s))
            turn = self._turn(shot)
        else:
            return None
        kind, tenant = shot.arrival.interactive, shot.arrival.tenant
        self._now_turn[kind] = turn
        self._next_turn[kind, tenant] = turn + shot.row_steps + PICTURE_ROW_STEPS * shot.arrival.pictures
        self._waiting[kind][tenant].popleft()
        if not self._waiting[kind][tenant]:
            del self._waiting[kind][tenant]
        if not kind:
            self._catalogue_claimed_s[tenant] = now
        self._waits[kind] = _plus(self._waits[kind], _work(shot), -1)
        self._runs[kind] = _plus(self._runs[kind], _work(shot))
        shot.claimed_s = now
        return shot

    def _turn(self, shot: Shot) -> float:
        kind = shot.arrival.interactive
        return max(self._now_turn[kind], self._next_turn.get((kind, shot.arrival.tenant), 0.0))

    def commit(self, shot: Shot) -> None:
        """End a shot."""
        kind = shot.arrival.interactive
        self._runs[kind] = _plus(self._runs[kind], _work(shot), -1)
        shot.done_s = self._now()

    @property
    def waiting(self) -> dict[bool, Load]:
        """The waiting work by priority (True = interactive)."""
        return self._waits

    def load(self, since_seq: int | None = None) -> QueueLoad:
        """The load, like the store's `Queue.load`. `since_seq` must be the sequence number of the last report."""
        before = self._came if since_seq is None else self._came_before[since_seq]
        people, catalogue = (
            Flow(
                self._waits[kind],
                Load(self._runs[kind].shots, self._runs[kind].pictures, round(self._row_steps_left(kind))),
                _plus(self._came[kind], before[kind], -1),
            )
            for kind in (True, False)
        )
        self._came_before = {self._seq: dict(self._came)}
        return QueueLoad(self._seq, people, catalogue)


def _work(shot: Shot) -> Load:
    return Load(1, shot.arrival.pictures, shot.row_steps)


def _plus(one: Load, other: Load, sign: int = 1) -> Load:
    return Load(
        one.shots + sign * other.shots, one.pictures + sign * other.pictures, one.row_steps + sign * other.row_steps
    )
