"""The simulated store: the order of claims (that of packshot/store/queue_order.py), and the amount of waiting work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cluster.simulate.traces import Arrival
from packshot.contract.status import Priority
from packshot.store.load_records import Flow, Load, QueueLoad
from packshot.store.queue_order import AGEING_S, PICTURE_ROW_STEPS, Engines


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
    """The waiting shots by priority, tenant and engine, oldest first.

    `now` gives the simulated time in seconds. `row_steps_left` gives the row-steps that the running shots of a priority
    (True = interactive) and an engine still need.
    """

    def __init__(self, now: Callable[[], float], row_steps_left: Callable[[bool, str], float]) -> None:
        self._now = now
        self._row_steps_left = row_steps_left
        self._waiting: dict[bool, dict[tuple[int, str], deque[Shot]]] = {True: {}, False: {}}
        self._now_turn = {True: 0.0, False: 0.0}
        self._next_turn: dict[tuple[bool, int], float] = {}
        self._catalogue_claimed_s: dict[int, float] = {}
        self._works = {"": _Works()}
        self._seq = 0
        self._came_before = {0: self._came()}

    def add(self, shot: Shot) -> None:
        """Add a shot."""
        kind, arrival = shot.arrival.interactive, shot.arrival
        self._waiting[kind].setdefault((arrival.tenant, arrival.engine), deque()).append(shot)
        own, work = self._works.setdefault(arrival.engine, _Works()), _work(shot)
        own.waits[kind] = _plus(own.waits[kind], work)
        own.came[kind] = _plus(own.came[kind], work)
        self._seq += 1

    def claim(self, people_only: bool = False, engines: Engines | None = None) -> Shot | None:
        """Claim the first shot; None when none waits. `people_only` claims no catalogue shot.

        One aged catalogue shot of each tenant comes first, then interactive shots, then other catalogue shots. Among
        the lines of a priority, the one with the smallest turn is next: tenants share the work equally. `engines` are
        those whose shots may be claimed; None = all.
        """
        now = self._now()
        lines = {kind: self._allowed(kind, engines) for kind in (True, False)}
        aged = [
            queue[0]
            for tenant, queue in lines[False]
            if queue[0].arrival.at_s < now - AGEING_S and self._catalogue_claimed_s.get(tenant, -1e9) <= now - AGEING_S
        ]
        kinds = (True,) if people_only else (True, False)
        heads = next((found for kind in kinds if (found := [line[0] for _, line in lines[kind]])), [])
        if aged and not people_only:
            shot = min(aged, key=lambda one: one.arrival.at_s)
            turn = self._now_turn[False]
        elif heads:
            shot = min(heads, key=lambda one: (self._turn(one), one.arrival.at_s))
            turn = self._turn(shot)
        else:
            return None
        kind, tenant, engine = shot.arrival.interactive, shot.arrival.tenant, shot.arrival.engine
        self._now_turn[kind] = turn
        self._next_turn[kind, tenant] = turn + shot.row_steps + PICTURE_ROW_STEPS * shot.arrival.pictures
        self._waiting[kind][tenant, engine].popleft()
        if not self._waiting[kind][tenant, engine]:
            del self._waiting[kind][tenant, engine]
        if not kind:
            self._catalogue_claimed_s[tenant] = now
        own = self._works[engine]
        own.waits[kind] = _plus(own.waits[kind], _work(shot), -1)
        own.runs[kind] = _plus(own.runs[kind], _work(shot))
        shot.claimed_s = now
        return shot

    def _allowed(self, kind: bool, engines: Engines | None) -> list[tuple[int, deque[Shot]]]:
        """The lines of a priority that may be claimed from, with their tenants."""
        names = None if engines is None else engines.people if kind else engines.catalogue
        return [
            (tenant, line) for (tenant, engine), line in self._waiting[kind].items() if names is None or engine in names
        ]

    def _turn(self, shot: Shot) -> float:
        kind = shot.arrival.interactive
        return max(self._now_turn[kind], self._next_turn.get((kind, shot.arrival.tenant), 0.0))

    def commit(self, shot: Shot) -> None:
        """End a shot."""
        kind, own = shot.arrival.interactive, self._works[shot.arrival.engine]
        own.runs[kind] = _plus(own.runs[kind], _work(shot), -1)
        shot.done_s = self._now()

    @property
    def waiting(self) -> dict[bool, Load]:
        """The waiting work by priority (True = interactive)."""
        return {kind: _sum(own.waits[kind] for own in self._works.values()) for kind in (True, False)}

    def load(self, since_seq: int | None = None) -> QueueLoad:
        """The load, like the store's `Queue.load`. `since_seq` must be the sequence number of the last report."""
        before = self._came() if since_seq is None else self._came_before[since_seq]
        flows = {
            engine: {kind: self._flow(engine, kind, before.get((engine, kind), Load())) for kind in (True, False)}
            for engine in self._works
        }
        self._came_before = {self._seq: self._came()}
        people, catalogue = (
            Flow(
                _sum(own[kind].waiting for own in flows.values()),
                _sum(own[kind].running for own in flows.values()),
                _sum(own[kind].arrived for own in flows.values()),
            )
            for kind in (True, False)
        )
        further: dict[str, dict[Priority, Flow]] = {
            engine: {"interactive": own[True], "catalogue": own[False]} for engine, own in flows.items() if engine
        }
        return QueueLoad(self._seq, people, catalogue, further)

    def _flow(self, engine: str, kind: bool, before: Load) -> Flow:
        own = self._works[engine]
        runs = Load(own.runs[kind].shots, own.runs[kind].pictures, round(self._row_steps_left(kind, engine)))
        return Flow(own.waits[kind], runs, _plus(own.came[kind], before, -1))

    def _came(self) -> dict[tuple[str, bool], Load]:
        return {(engine, kind): load for engine, own in self._works.items() for kind, load in own.came.items()}


class _Works:
    """The work of one engine by priority (True = interactive): what waits, what runs, and all that ever came."""

    def __init__(self) -> None:
        self.waits = {True: Load(), False: Load()}
        self.runs = {True: Load(), False: Load()}
        self.came = {True: Load(), False: Load()}


def _work(shot: Shot) -> Load:
    return Load(1, shot.arrival.pictures, shot.row_steps)


def _plus(one: Load, other: Load, sign: int = 1) -> Load:
    return Load(
        one.shots + sign * other.shots, one.pictures + sign * other.pictures, one.row_steps + sign * other.row_steps
    )


def _sum(loads: Iterable[Load]) -> Load:
    total = Load()
    for one in loads:
        total = _plus(total, one)
    return total
