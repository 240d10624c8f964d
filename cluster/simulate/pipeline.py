"""The simulated application: arrivals -> store -> directors and the stages that they drive -> done, scaled by a policy.

photo (for some of the shots, LEAD_S before) ──> gateway ──> photo_decoder ──> sam_encoder ──> detector, for some ──>
mask_decoder, some clicks
shot ──> gateway ──> queue ──claim──> director ──> finisher ──> understand, reference_encoder, for some ──> canny
──> generator, picture by picture ──> finisher ──> commit ──> gateway, a download of each picture
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import simpy

from cluster.simulate.fleet import Fleet, Timed, painters, workers
from cluster.simulate.painter import Painter, Scene
from cluster.simulate.queue import Queue, Shot
from cluster.simulate.stages import Machine
from cluster.simulate.traces import LEAD_S, Arrival, Trace
from packshot.shots.lanes import KEPT, Lanes, Running
from packshot.shots.load_report import LoadReport
from packshot.store.queue_order import Engines

ONE_THREAD = (
    "gateway", "photo_decoder", "sam_encoder", "mask_decoder", "detector", "understand", "reference_encoder", "canny",
    "finisher",
)  # fmt: skip
"""Stages whose replicas do one call at a time, in order of arrival."""
STAGES = (*ONE_THREAD, "generator", "director")
TICK_S = 1.0
"""Default interval of the policy's decisions, seconds. Serve decides ten times a second, but its metrics arrive only
every few seconds."""
SAMPLE_EVERY_S = 5.0
POLL_S = 5.0
"""Interval of the directors' polls, seconds (`PACKSHOT_POLL_S`)."""


@dataclass(frozen=True)
class View:
    """A deployment at one moment, as Serve's controller would see it without delay.

    `busy_s` is the time that its replicas have worked since the start, in seconds.
    """

    target: int
    running: int
    ongoing: float
    busy_s: float = 0.0


class Scaler(Protocol):
    """A scaling policy in a simulation."""

    def initial(self) -> dict[str, int]:
        """The replicas of each stage at the beginning."""

    def targets(
        self, now_s: float, views: Mapping[str, View], report: Callable[[], dict[str, float]]
    ) -> dict[str, int]:
        """The target of each stage that the policy sets. `report` gives a director's report on the store."""


@dataclass(frozen=True)
class Sample:
    """The state of the cluster at one moment, for plots."""

    at_s: float
    targets: dict[str, int]
    running: dict[str, int]
    waiting_shots: int


@dataclass
class Run:
    """The result of a simulation. `changes` holds for each stage (time, from, to) of every change of its target."""

    trace: Trace
    machine: Machine
    shots: list[Shot]
    samples: list[Sample] = field(default_factory=list)
    changes: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)
    replica_seconds: dict[str, float] = field(default_factory=dict)
    ended_s: float = 0.0

    @property
    def dollars(self) -> float:
        """The cost of all replicas."""
        return sum(s * self.machine.dollars_hour.get(name, 0.0) / 3600 for name, s in self.replica_seconds.items())

    def misses(self, slo_s: float, since_s: float = 0.0) -> tuple[int, int]:
        """The number of interactive shots since `since_s` that took longer than `slo_s`, and the number of all."""
        people = [s for s in self.shots if s.arrival.interactive and s.arrival.at_s >= since_s]
        return sum(shot.latency_s > slo_s for shot in people), len(people)

    def catalogue_done_s(self) -> float:
        """Seconds from the first catalogue shot's arrival to the last one's commit; 0 without a catalogue."""
        bulk = [shot for shot in self.shots if not shot.arrival.interactive]
        return max(s.done_s for s in bulk) - min(s.arrival.at_s for s in bulk) if bulk else 0.0

    def flaps(self, within_s: float = 120.0) -> int:
        """How often a stage was scaled in one direction and then in the other within `within_s` seconds."""
        turned = 0
        for moves in self.changes.values():
            for (then_s, a, b), (now_s, c, d) in pairwise(moves):
                turned += (b > a) != (d > c) and now_s - then_s < within_s
        return turned


class Pipeline:
    """One simulated run of a trace on a machine under a policy, which decides every `tick_s` seconds."""

    def __init__(
        self, trace: Trace, machine: Machine, scaler: Scaler, *, tick_s: float = TICK_S, seed: int = 7
    ) -> None:
        self.env = simpy.Environment()
        self._machine = machine
        self._scaler = scaler
        self._tick_s = tick_s
        self._database = simpy.Resource(self.env, machine.database_cores)
        self._queue = Queue(lambda: float(self.env.now), self._row_steps_left)
        rng = random.Random(seed)
        self._painters: dict[str, Fleet[Scene]] = {
            engine: painters(self.env, machine, rng, engine) for engine in machine.generators
        }
        self._directors: Fleet[object] = Fleet(
            self.env,
            lambda on_done: _Director(self, on_done),
            start_s=machine.start_s.get("director", 0.0),
            max_ongoing=machine.director_holds,
            rng=rng,
        )
        self._workers = {name: workers(self.env, machine, name, rng) for name in ONE_THREAD}
        self.fleets: dict[str, Fleet[Any]] = {
            **self._workers,
            **{machine.generators[engine]: fleet for engine, fleet in self._painters.items()},
            "director": self._directors,
        }
        self.run = Run(trace, machine, [Shot(arrival) for arrival in trace.arrivals])
        self.run.changes = {name: [] for name in self.fleets}
        self._left = len(self.run.shots)
        self._report = LoadReport(self._queue, clock=lambda: float(self.env.now))

    def simulate(self, patience_s: float = 7200.0) -> Run:
        """Run to the end of the trace, and then until the last shot is done, for at most `patience_s` more seconds."""
        for name, count in self._scaler.initial().items():
            self.fleets[name].scale(count, at_once=True)
        self.env.process(self._arrive())
        self.env.process(self._photos())
        self.env.process(self._control())
        self.env.process(self._poll())
        self.env.process(self._sample())
        end_s = self.run.trace.end_s
        self.env.run(until=end_s)
        self.run.replica_seconds = {name: fleet.replica_seconds for name, fleet in self.fleets.items()}
        while self._left and self.env.now < end_s + patience_s:
            self.env.run(until=self.env.now + 10 * TICK_S)
        self.run.ended_s = float(self.env.now)
        return self.run

    def shot_flow(self, shot: Shot) -> Any:
        """A director's work on one shot."""
        machine, arrival = self._machine, shot.arrival
        cut_s = machine.cut_s if arrival.first else 0.0
        yield self._workers["finisher"].call(Timed(cut_s + machine.layout_s))
        if arrival.geometry:
            yield self._workers["understand"].call(Timed(machine.geometry_s if arrival.first else 0.0))
        if arrival.references:
            yield self._workers["reference_encoder"].call(Timed(machine.references_s if arrival.first else 0.0))
        yield self._workers["canny"].call(Timed(machine.edges_s))
        scenes = [Scene(arrival.rows, arrival.steps, arrival.interactive) for _ in range(arrival.pictures)]
        yield self.env.all_of([self.env.process(self._picture(arrival.engine, scene)) for scene in scenes])
        self._queue.commit(shot)
        self._left -= 1
        for _ in range(arrival.pictures):
            self._workers["gateway"].call(Timed(machine.download_s))

    def claim(self, people_only: bool, engines: Engines | None) -> Any:
        """A simpy process that returns the first shot of the queue, or None when it is empty.

        A claim occupies one of the database's cores. `people_only` claims no catalogue shot, and is free when no other
        waits. `engines` are those whose shots it may claim; None = all.
        """
        if people_only and not self._queue.waiting[True].shots:
            return None
        with self._database.request() as turn:
            yield turn
            waiting = sum(work.shots for work in self._queue.waiting.values())
            yield self.env.timeout(self._machine.claim_s(waiting))
            return self._queue.claim(people_only, engines)

    def paints(self, engine: str) -> bool:
        """Whether a generator of the engine is ready."""
        return self._painters[engine].running > 0

    def poll(self) -> None:
        """Call for the next shot, which any director takes: a shot has ended whose place others may have waited for."""
        if any(work.shots for work in self._queue.waiting.values()):
            self._directors.call(object())

    def _picture(self, engine: str, scene: Scene) -> Any:
        yield self._painters[engine].call(scene)
        yield self._workers["finisher"].call(Timed(self._machine.finish_s))

    def _arrive(self) -> Any:
        for shot in self.run.shots:
            yield self.env.timeout(max(0.0, shot.arrival.at_s - self.env.now))
            self.env.process(self._accept(shot))

    def _accept(self, shot: Shot) -> Any:
        yield self._workers["gateway"].call(Timed(self._machine.request_s))
        self._queue.add(shot)
        self._directors.call(object())

    def _photos(self) -> Any:
        for arrival in self.run.trace.arrivals:
            if arrival.photo:
                yield self.env.timeout(max(0.0, arrival.at_s - LEAD_S - self.env.now))
                self.env.process(self._clicks(arrival))

    def _clicks(self, arrival: Arrival) -> Any:
        yield self._workers["gateway"].call(Timed(self._machine.upload_s))
        yield self._workers["photo_decoder"].call(Timed(self._machine.photo_s))
        yield self._workers["sam_encoder"].call(Timed(self._machine.encode_s))
        if arrival.words:
            yield self._workers["detector"].call(Timed(self._machine.find_s))
        for _ in range(self._machine.clicks):
            yield self._workers["gateway"].call(Timed(self._machine.request_s))
            yield self._workers["mask_decoder"].call(Timed(self._machine.click_s))

    def _control(self) -> Any:
        while True:
            yield self.env.timeout(self._tick_s)
            views = {
                name: View(fleet.target, fleet.running, fleet.ongoing, fleet.busy_s)
                for name, fleet in self.fleets.items()
            }
            for name, target in self._scaler.targets(float(self.env.now), views, self._report).items():
                before = self.fleets[name].target
                if target != before:
                    self.run.changes[name].append((float(self.env.now), before, target))
                    self.fleets[name].scale(target)

    def _poll(self) -> Any:
        while True:
            yield self.env.timeout(POLL_S)
            directors = [one.replica for one in self._directors.members if isinstance(one.replica, _Director)]
            room = sum(one.room for one in directors)
            waiting = self._queue.waiting
            people = waiting[True].shots if len(self._painters) > 1 else 0  # lanes of engines may have held them back
            for _ in range(min(room, people + waiting[False].shots)):
                self._directors.call(object())

    def _sample(self) -> Any:
        while True:
            targets = {name: fleet.target for name, fleet in self.fleets.items()}
            running = {name: fleet.running for name, fleet in self.fleets.items()}
            waiting = sum(work.shots for work in self._queue.waiting.values())
            self.run.samples.append(Sample(float(self.env.now), targets, running, waiting))
            yield self.env.timeout(SAMPLE_EVERY_S)

    def _row_steps_left(self, interactive: bool, engine: str) -> float:
        painting = (member.replica for member in self._painters[engine].members)
        return sum(one.row_steps_left(interactive) for one in painting if isinstance(one, Painter))


class _Director:
    """A replica of the director: each call claims the first shot of the queue and runs it.

    Catalogue shots leave a share of its places to people's, and shots of one engine to the others', by the director's
    own lanes (packshot/shots/lanes.py).
    """

    def __init__(self, pipeline: Pipeline, on_done: Callable[[object], None]) -> None:
        self._pipeline = pipeline
        self._on_done = on_done
        machine = pipeline.run.machine
        self._lanes = Lanes(machine.director_holds, tuple(machine.generators))
        self._running: dict[int, Running] = {}
        self.room = max(1, machine.director_holds - max(1, int(machine.director_holds * KEPT)))
        """Catalogue shots that it may still claim."""

    def take(self, call: object) -> None:
        """Start a call."""
        self._pipeline.env.process(self._run_next(call))

    def _run_next(self, call: object) -> Any:
        any_kind = self.room > 0
        self.room -= any_kind
        engines = self._lanes.engines(list(self._running.values()))
        shot = yield self._pipeline.env.process(self._pipeline.claim(not any_kind, engines))
        if any_kind and (shot is None or shot.arrival.interactive):
            self.room += 1
        if shot is None:
            self._on_done(call)
            return
        # A simulated generator takes a scene as soon as it is ready, so a shot counts as begun from its claim.
        own = Running(shot.arrival.engine, not shot.arrival.interactive, self._pipeline.paints(shot.arrival.engine))
        self._running[id(shot)] = own
        yield self._pipeline.env.process(self._pipeline.shot_flow(shot))
        del self._running[id(shot)]
        self._on_done(call)
        if not shot.arrival.interactive:
            self.room += 1
        if self._lanes.of_engines or not shot.arrival.interactive:
            self._pipeline.poll()
