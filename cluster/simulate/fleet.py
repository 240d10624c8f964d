"""The replicas of one deployment on paper: they start, take calls as Serve routes them, and drain before they go."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import simpy

from cluster.simulate.painter import Painter, Scene
from cluster.simulate.stages import Machine

CallT = TypeVar("CallT")
CallT_contra = TypeVar("CallT_contra", contravariant=True)


class Replica(Protocol[CallT_contra]):
    """What takes calls; it tells its fleet when each has ended."""

    def take(self, call: CallT_contra) -> None: ...


class Member(Generic[CallT]):
    """A replica, whether it is ready, and the calls it holds."""

    def __init__(self) -> None:
        self.replica: Replica[CallT] | None = None
        self.holds = 0
        self.leaving = False


class Fleet(Generic[CallT]):
    """A deployment. `make` builds a ready replica, given what it calls at the end of each call.

    Calls wait at the handle while every replica holds `max_ongoing`; else the one that holds fewer of two takes it.
    """

    def __init__(
        self,
        env: simpy.Environment,
        make: Callable[[Callable[[CallT], None]], Replica[CallT]],
        *,
        start_s: float,
        max_ongoing: int,
        rng: random.Random,
    ) -> None:
        self._env = env
        self._make = make
        self._start_s = start_s
        self._max_ongoing = max_ongoing
        self._rng = rng
        self._calls: deque[tuple[CallT, simpy.Event]] = deque()
        self._ends: dict[int, simpy.Event] = {}
        self._counted_at_s = 0.0
        self._seconds = 0.0
        self.members: list[Member[CallT]] = []
        self.target = 0

    def call(self, call: CallT) -> simpy.Event:
        """An event that comes when a replica has answered."""
        event = self._env.event()
        self._calls.append((call, event))
        self._route()
        return event

    @property
    def running(self) -> int:
        return sum(member.replica is not None and not member.leaving for member in self.members)

    @property
    def ongoing(self) -> int:
        """Calls that wait at the handle or are held by a replica: what Serve's autoscaler counts."""
        return len(self._calls) + sum(member.holds for member in self.members)

    @property
    def replica_seconds(self) -> float:
        """Of every replica since the start: while it starts, runs and drains."""
        self._count()
        return self._seconds

    def scale(self, target: int, *, at_once: bool = False) -> None:
        """Ask for so many replicas; `at_once`: ready now, for a beginning. Those that start go first,
        then the emptiest."""
        self._count()
        self.target = target
        staying = [member for member in self.members if not member.leaving]
        for _ in range(target - len(staying)):
            member = Member[CallT]()
            self.members.append(member)
            if at_once:
                self._ready(member)
            else:
                self._start(member)
        staying.sort(key=lambda member: (member.replica is not None, member.holds))
        for member in staying[: max(0, len(staying) - target)]:
            member.leaving = True
            self._retire(member)

    def _start(self, member: Member[CallT]) -> None:
        event = self._env.timeout(self._start_s)
        assert event.callbacks is not None
        event.callbacks.append(lambda _: self._ready(member))

    def _ready(self, member: Member[CallT]) -> None:
        if member in self.members:
            member.replica = self._make(lambda call: self._ended(member, call))
            self._route()

    def _route(self) -> None:
        while self._calls:
            free = [m for m in self.members if m.replica and not m.leaving and m.holds < self._max_ongoing]
            if not free:
                return
            member = min(self._rng.sample(free, min(2, len(free))), key=lambda m: m.holds)
            call, event = self._calls.popleft()
            member.holds += 1
            self._ends[id(call)] = event
            assert member.replica is not None
            member.replica.take(call)

    def _ended(self, member: Member[CallT], call: CallT) -> None:
        member.holds -= 1
        self._ends.pop(id(call)).succeed()
        if member.leaving:
            self._retire(member)
        self._route()

    def _retire(self, member: Member[CallT]) -> None:
        if member.holds == 0:
            self._count()
            self.members.remove(member)

    def _count(self) -> None:
        self._seconds += len(self.members) * (self._env.now - self._counted_at_s)
        self._counted_at_s = self._env.now


class Timed:
    """A call that takes a known time of a replica's one thread."""

    def __init__(self, for_s: float) -> None:
        self.for_s = for_s


class Worker:
    """A replica with one thread: calls in order of arrival."""

    def __init__(self, env: simpy.Environment, on_done: Callable[[Timed], None]) -> None:
        self._env = env
        self._thread = simpy.Resource(env, 1)
        self._on_done = on_done

    def take(self, call: Timed) -> None:
        self._env.process(self._work(call))

    def _work(self, call: Timed) -> Any:
        with self._thread.request() as turn:
            yield turn
            yield self._env.timeout(call.for_s)
        self._on_done(call)


def painters(env: simpy.Environment, machine: Machine, rng: random.Random) -> Fleet[Scene]:
    """The generator's fleet."""
    return Fleet(
        env,
        lambda on_done: Painter(env, machine, on_done),
        start_s=machine.start_s.get("generator", 0.0),
        max_ongoing=machine.generator_holds,
        rng=rng,
    )


def workers(env: simpy.Environment, machine: Machine, name: str, rng: random.Random) -> Fleet[Timed]:
    """The fleet of a stage with one thread a replica."""
    return Fleet(
        env, lambda on_done: Worker(env, on_done), start_s=machine.start_s.get(name, 0.0), max_ongoing=64, rng=rng
    )
