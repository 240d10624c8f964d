"""Rows of three engines under load, simulated: the policy sizes each engine alone, and the lanes starve none.

The simulation has steps of a second. Directors claim through the real lanes, and the real policy scales them and the
generators, which take `START_S` to start. A generator works on as many shots at once as a full batch holds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cluster.autoscaling import Demand, EngineLoad, Load, Observation, Pipeline, Stage, State, decide
from packshot.shots.lanes import Lanes, Running

START_S, HELD, PLACES = 45, 8, 12
ROW_STEPS, ROW_STEP_S = 20.0, {"generator": 0.05, "generator-big": 0.4, "generator-rare": 0.1}
PLAN = Pipeline(row_step_s=0.05, picture_s=0.0, scenes=HELD, start_s=START_S, idle_s=120, calm_s=60, steady_s=120)


@dataclass
class Shot:
    """A shot of an engine: when it came, the row-steps that it lacks, and when it ended."""

    engine: str
    came_s: int
    left: float = ROW_STEPS
    ended_s: int | None = None
    running: bool = False


@dataclass
class Cluster:
    """Directors and generators of three engines. `ready_s` holds when each generator is ready."""

    ready_s: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in ROW_STEP_S})
    waiting: deque[Shot] = field(default_factory=deque)
    claimed: list[list[Shot]] = field(default_factory=lambda: [[]])
    shots: list[Shot] = field(default_factory=list)
    state: State = field(default_factory=State)
    most: dict[str, int] = field(default_factory=dict)

    def second(self, at_s: int, arrivals: dict[str, int]) -> None:
        """Let a second pass."""
        for engine, count in arrivals.items():
            for _ in range(count):
                self.waiting.append(Shot(engine, at_s))
                self.shots.append(self.waiting[-1])
        for own in self.claimed:
            self._claim(own)
        for engine, ready_s in self.ready_s.items():
            self._paint(engine, sum(one <= at_s for one in ready_s), at_s)
        for own in self.claimed:
            own[:] = [shot for shot in own if shot.ended_s is None]
        if at_s % 5 == 0:
            self._scale(at_s, arrivals)

    def _claim(self, own: list[Shot]) -> None:
        lanes = Lanes(PLACES, tuple(ROW_STEP_S))
        while len(own) < PLACES:
            allowed = lanes.engines([Running(one.engine, False, one.running) for one in own])
            names = tuple(ROW_STEP_S) if allowed is None else allowed.people
            shot = next((one for one in self.waiting if one.engine in names), None)
            if shot is None:
                return
            self.waiting.remove(shot)
            own.append(shot)

    def _paint(self, engine: str, generators: int, at_s: int) -> None:
        mine = [one for own in self.claimed for one in own if one.engine == engine][: HELD * generators]
        for shot in mine:
            shot.running = True
            shot.left -= generators / ROW_STEP_S[engine] / len(mine)
            if shot.left <= 0:
                shot.ended_s = at_s

    def _scale(self, at_s: int, arrivals: dict[str, int]) -> None:
        def load(shots: list[Shot]) -> Load:
            return Load(len(shots), len(shots), sum(one.left for one in shots))

        held = [one for own in self.claimed for one in own]
        engines, stages = {}, {"director": Stage(len(self.claimed), len(self.claimed), 1, 20, 0.0, PLACES)}
        for name, ready_s in self.ready_s.items():
            rate = sum(one.engine == name and one.came_s > at_s - 60 for one in self.shots) / 60
            flow = Load(rate, rate, rate * ROW_STEPS)
            waiting, running = ([one for one in shots if one.engine == name] for shots in (list(self.waiting), held))
            work = Demand(load(waiting), load(running), flow, flow)
            engines[name] = EngineLoad(work, Demand(), ROW_STEP_S[name], 2.0 * HELD)
            stages[name] = Stage(len(ready_s), sum(one <= at_s for one in ready_s), 0, 12, float(len(running)), HELD)
        replicas, self.state = decide(Observation(float(at_s), stages, engines=engines), self.state, PLAN)
        for name, ready_s in self.ready_s.items():
            ready_s[replicas[name] :] = []
            ready_s += [at_s + START_S] * (replicas[name] - len(ready_s))
            self.most[name] = max(self.most.get(name, 0), replicas[name])
        self.claimed += [[] for _ in range(replicas["director"] - len(self.claimed))]


def waits(cluster: Cluster, engine: str) -> list[int]:
    """The seconds from arrival to end of an engine's shots, the longest first."""
    ended = [shot for shot in cluster.shots if shot.engine == engine]
    assert all(shot.ended_s is not None for shot in ended), f"{engine}: shots starve"
    return sorted((shot.ended_s - shot.came_s for shot in ended if shot.ended_s is not None), reverse=True)


def test_three_engines_under_load_scale_alone_and_none_starves() -> None:
    cluster = Cluster()
    for at_s in range(1500):
        busy = at_s < 1000
        arrivals = {"generator": int(busy) + int(busy and at_s % 2 == 0)}
        arrivals["generator-big"] = 40 if at_s == 200 else 0
        arrivals["generator-rare"] = int(at_s in (300, 301, 900))
        cluster.second(at_s, arrivals)
    steady, burst, rare = (waits(cluster, name) for name in ROW_STEP_S)
    steadily = (one for one in cluster.shots if one.engine == "generator" and 400 < one.came_s < 900)
    late = sorted(one.ended_s - one.came_s for one in steadily if one.ended_s is not None)
    assert late[int(0.95 * len(late))] <= 30, "the steady engine does not feel the burst of another"
    assert burst[0] <= 240, "the burst waits for its generators, and is painted by several"
    assert rare[0] <= START_S + 40, "a rare shot waits for its generator's start, and not for others' work"
    assert cluster.most["generator-big"] > cluster.most["generator-rare"] == 1
    assert [len(ready_s) for ready_s in cluster.ready_s.values()] == [0, 0, 0], "all sleep again"
    assert len(steady) == 1500
