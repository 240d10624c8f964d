"""The policy with several engines: each engine's generators follow its own work, and sleep alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.autoscaling import Demand, EngineLoad, Load, Observation, Pipeline, Stage, State, decide
from packshot.contract.status import Priority
from packshot.shots.load_report import LoadReport, by_generator
from packshot.store.load_records import Flow, QueueLoad
from packshot.store.load_records import Load as Work

PLAN = Pipeline(row_step_s=0.05, picture_s=0.0, start_s=10, idle_s=100, engines={"big": {"row_step_s": 0.5}})
NAMES = ("generator", "generator-big", "generator-rare")
ASLEEP = {name: Stage(0, 0, 0, 20) for name in NAMES} | {"director": Stage(1, 1, 1, 50)}


def people(count: float) -> Demand:
    """So many waiting shots of 20 row-steps."""
    return Demand(waiting=Load(count, count, 20 * count))


def ticks(count: int, engines: dict[str, EngineLoad], *, at_s: float = 0.0, every_s: float = 5.0) -> dict[str, int]:
    """The replicas after so many decisions, whose replicas run at once."""
    stages, state = dict(ASLEEP), State(busy_at_s=-1e9)
    for number in range(count):
        replicas, state = decide(Observation(at_s + number * every_s, stages, engines=engines), state, PLAN)
        stages = {name: replace(stage, target=replicas[name], running=replicas[name]) for name, stage in stages.items()}
    return {name: stage.target for name, stage in stages.items()}


def test_only_the_engine_with_work_wakes() -> None:
    found = ticks(
        3, {"generator": EngineLoad(), "generator-big": EngineLoad(people(1)), "generator-rare": EngineLoad()}
    )
    assert found["generator-big"] >= 1
    assert found["generator-rare"] == 0


def test_each_engine_is_sized_by_its_own_seconds() -> None:
    """The same work takes ten times as long on the big engine, until its generators measure otherwise."""
    work = people(40)
    engines = {"generator": EngineLoad(work), "generator-big": EngineLoad(work), "generator-rare": EngineLoad()}
    found = ticks(2, engines)
    assert (found["generator"], found["generator-rare"]) == (4, 0)
    assert found["generator-big"] == 20, "its limit"
    measured = engines | {"generator-big": EngineLoad(work, row_step_s=0.05)}
    assert ticks(2, measured)["generator-big"] == 4


def test_directors_follow_the_generators_of_all_engines() -> None:
    one = ticks(3, {"generator": EngineLoad(people(40)), "generator-big": EngineLoad(), "generator-rare": EngineLoad()})
    both = ticks(3, {name: EngineLoad(people(40)) for name in NAMES})
    assert both["director"] > one["director"]


def test_an_engine_without_work_sleeps_while_another_works() -> None:
    stages, state = {**ASLEEP, "generator-big": Stage(2, 2, 0, 20)}, State()
    busy = {"generator": EngineLoad(people(9)), "generator-big": EngineLoad(people(9)), "generator-rare": EngineLoad()}
    _, state = decide(Observation(0.0, stages, engines=busy), state, PLAN)
    alone = busy | {"generator-big": EngineLoad()}
    for at_s in (*range(10, 700, 10), 701):
        replicas, state = decide(Observation(float(at_s), stages, engines=alone), state, PLAN)
        stages = {name: replace(stage, target=replicas[name], running=replicas[name]) for name, stage in stages.items()}
    assert replicas["generator-big"] == 0
    assert replicas["generator"] >= 1


def test_the_default_engine_sleeps_while_another_works_but_not_while_people_click() -> None:
    stages, state = {**ASLEEP, "generator": Stage(1, 1, 0, 20), "sam_encoder": Stage(1, 1, 1, 2)}, State()
    busy = {"generator": EngineLoad(), "generator-big": EngineLoad(people(9))}
    for ongoing, least, begin_s in ((1.0, 1, 0), (0.0, 0, 800)):
        for at_s in range(begin_s, begin_s + 800, 10):
            stages["sam_encoder"] = Stage(1, 1, 1, 2, ongoing)
            replicas, state = decide(Observation(float(at_s), stages, engines=busy), state, PLAN)
            stages["generator"] = Stage(replicas["generator"], replicas["generator"], 0, 20)
        assert replicas["generator"] == least


def test_an_engines_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match=r"autoscaling\.engines\.big may state row_step_s"):
        Pipeline(engines={"big": {"calm_s": 3.0}})


def test_the_report_tells_each_engines_work_under_its_deployment() -> None:
    class Queue:
        def load(self, since_seq: int | None = None) -> QueueLoad:
            mini, big, gone = (Flow(waiting=Work(n, n, 20 * n)) for n in (2, 3, 5))
            engines: dict[str, dict[Priority, Flow]] = {"mini": {"interactive": mini}, "big": {"interactive": big}}
            engines["gone"] = {"interactive": gone}
            return QueueLoad(7, Flow(waiting=Work(11, 11, 220)), Flow(), engines)  # one says no engine

    report = by_generator(LoadReport(Queue())(), {"mini": "generator", "big": "generator-big"})
    assert report["interactive_waiting_shots"] == 11
    assert report["interactive_waiting_shots@generator"] == 3, "its own, and the one that says no engine"
    assert report["interactive_waiting_row_steps@generator-big"] == 60
    assert report["catalogue_waiting_shots@generator"] == 0
    assert not [key for key in report if "gone" in key]
    assert by_generator({}, {"mini": "generator"}) == {}
