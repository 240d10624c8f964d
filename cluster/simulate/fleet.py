"""The simulated replicas of one deployment: they start, receive calls by Serve's routing, and drain before they end."""

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
    """A replica that runs calls, and notifies its fleet when each has ended."""

    def take(self, call: CallT_contra) -> None:
        """Start or queue a call."""


class Member(Generic[CallT]):
    """A replica in a fleet. `replica` is None until it is ready; `holds` counts its calls; `leaving`: it drains."""

    def __init__(self) -> None:
        self.replica: Replica[CallT] | None = None
        self.holds = 0
        self.leaving = False


class Fleet(Generic[CallT]):
    """A simulated deployment.

    `make` builds a ready replica, given the function to call at the end of each call. A replica takes `start_s` seconds
    to start. Of two random replicas with fewer than `max_ongoing` calls, the one with fewer calls gets the next call;
    while there is none, calls wait at the handle. `busy_s` sums the time of its timed calls that have ended.
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
        self.busy_s = 0.0
        self.members: list[Member[CallT]] = []
        self.target = 0

    def call(self, call: CallT) -> simpy.Event:
        """Send a call. Returns an event that succeeds when a replica has answered."""
        event = self._env.event()
        self._calls.append((call, event))
        self._route()
        return event

    @property
    def running(self) -> int:
        """The number of replicas that are ready and do not drain."""
        return sum(member.replica is not None and not member.leaving for member in self.members)

    @property
    def ongoing(self) -> int:
        """The calls that wait at the handle or run on a replica, which Serve's autoscaler counts."""
        return len(self._calls) + sum(member.holds for member in self.members)

    @property
    def replica_seconds(self) -> float:
        """The seconds of all replicas so far, including their start and drain."""
        self._count()
        return self._seconds

    def scale(self, target: int, *, at_once: bool = False) -> None:
        """Set the target number of replicas.

        With `at_once`, new replicas are ready without a start, for the initial state. A scale-down removes starting
        replicas first, then those with the fewest calls.
        """
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
        self.busy_s += getattr(call, "for_s", 0.0)
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
    """A call that occupies a replica's thread for `for_s` seconds."""

    def __init__(self, for_s: float) -> None:
        self.for_s = for_s


class Worker:
    """A replica with one thread, which runs calls in order of arrival."""

    def __init__(self, env: simpy.Environment, on_done: Callable[[Timed], None]) -> None:
        self._env = env
        self._thread = simpy.Resource(env, 1)
        self._on_done = on_done

    def take(self, call: Timed) -> None:
        """Queue a call."""
        self._env.process(self._work(call))

    def _work(self, call: Timed) -> Any:
        with self._thread.request() as turn:
            yield turn
            yield self._env.timeout(call.for_s)
        self._on_done(call)


def painters(env: simpy.Environment, machine: Machine, rng: random.Random, engine: str = "") -> Fleet[Scene]:
    """The fleet of an engine's generators; "" is the default engine."""
    own = machine.of_engine(engine)
    start_s = machine.start_s.get("generator", 0.0)
    return Fleet(
        env,
        lambda on_done: Painter(env, own, on_done),
        start_s=machine.start_s.get(machine.generators[engine], start_s),
        max_ongoing=own.generator_holds,
        rng=rng,
    )


def workers(env: simpy.Environment, machine: Machine, name: str, rng: random.Random) -> Fleet[Timed]:
    """The fleet of the stage `name`, which has one thread per replica."""
    return Fleet(
        env, lambda on_done: Worker(env, on_done), start_s=machine.start_s.get(name, 0.0), max_ongoing=64, rng=rng
    )
