"""The simulation of several engines: each has its own generators, and no engine's work starves another's."""

from __future__ import annotations

from collections import Counter

from cluster.simulate.__main__ import engine_lines, three_engines
from cluster.simulate.queue import Queue, Shot
from cluster.simulate.traces import Arrival
from packshot.store.queue_order import Engines


def test_each_engine_is_scaled_by_its_own_work_and_sleeps_before_it() -> None:
    run = three_engines(0.2, end_s=900.0, generators=4)
    by_engine = {line["engine"]: line for line in engine_lines(run)}
    assert all(shot.done_s < float("inf") for shot in run.shots)
    assert {name: line["shots"] for name, line in by_engine.items() if name != "default"} == {"big": 60, "rare": 4}
    woke_s = next(sample.at_s for sample in run.samples if sample.running["generator-big"])
    assert 225 < woke_s < 260, "it sleeps until its catalogue comes, and then starts"
    assert float(by_engine["rare"]["longest_s"]) < 60, "a single shot waits for a start, and for no other engine"
    assert float(by_engine["default"]["p95_s"]) < 20


def test_a_claim_takes_shots_of_the_allowed_engines_only() -> None:
    """The report has each engine's part."""
    line = Queue(lambda: 0.0, lambda interactive, engine: 3.0 if engine else 0.0)
    for at_s, engine in enumerate(("big", "", "big", "")):
        line.add(Shot(Arrival(at_s, engine=engine)))
    claimed = [line.claim(engines=Engines(("",), ())) for _ in range(3)]
    assert [shot and shot.arrival.engine for shot in claimed] == ["", "", None]
    load = line.load()
    assert (load.interactive.waiting.shots, load.interactive.running.shots) == (2, 2)
    own = load.engines["big"]["interactive"]
    assert (own.waiting.shots, own.running.shots, own.running.row_steps) == (2, 0, 3)
    assert Counter(shot.arrival.engine for shot in iter(line.claim, None) if shot) == {"big": 2}
