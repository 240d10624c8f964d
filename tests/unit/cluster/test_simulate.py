"""The simulator: known queues come out right, Serve's autoscaler is Serve's own, and bursts are met as P9 says."""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import simpy
from ray.serve._private.common import DeploymentID, TimeStampedValue
from ray.serve._private.metrics_utils import aggregate_timeseries
from ray.serve.autoscaling_policy import _apply_autoscaling_config, replica_queue_length_autoscaling_policy
from ray.serve.config import AggregationFunction, AutoscalingConfig, AutoscalingContext

from cluster.simulate import calibrate, contest, report, traces
from cluster.simulate.calibrate import Compared
from cluster.simulate.fleet import Fleet, Timed, Worker
from cluster.simulate.painter import Painter, Scene
from cluster.simulate.pipeline import STAGES, Pipeline, View
from cluster.simulate.policies import EachItsOwn, Fixed, Handle, step_mean
from cluster.simulate.queue import Queue, Shot
from cluster.simulate.stages import A_24_GB_CARD, Machine
from cluster.simulate.traces import Arrival, Trace
from packshot.store.queue_order import AGEING_S

PLAIN = Machine("plain", 0.5, 0.5, 4, begin_s=0.0, decode_s=0.0, edges_s=0.0, layout_s=0.0, finish_s=0.0)
"""A step of r rows takes (1 + r) / 2 seconds."""


def paint(*scenes: tuple[float, Scene], machine: Machine = PLAIN) -> list[float]:
    """When each (time of arrival, scene) was done, in a replica."""
    env = simpy.Environment()
    done: dict[int, float] = {}

    def finish(scene: Scene) -> None:
        done[id(scene)] = env.now

    painter = Painter(env, machine, finish)

    def bring() -> Generator[simpy.Event]:
        for at_s, scene in scenes:
            yield env.timeout(at_s - env.now)
            painter.take(scene)

    env.process(bring())
    env.run()
    return [done[id(scene)] for _, scene in scenes]


def test_a_lone_scene_takes_its_steps() -> None:
    assert paint((0, Scene(1, 10, True))) == pytest.approx([10])
    assert paint((0, Scene(1, 10, True)), machine=replace(PLAIN, begin_s=1, decode_s=2)) == pytest.approx([13])


def test_scenes_share_steps_along_the_batch_curve() -> None:
    assert paint((0, Scene(1, 10, True)), (0, Scene(1, 10, True))) == pytest.approx([15, 15])
    # four steps alone, then shared: six of 1.5 s; the other's last four alone again
    assert paint((0, Scene(1, 10, True)), (4, Scene(1, 10, True))) == pytest.approx([13, 17])


def test_a_full_batch_lets_a_person_pass_and_work_is_conserved() -> None:
    def bulk() -> list[tuple[float, Scene]]:
        return [(0, Scene(2, 20, False)), (0, Scene(2, 20, False))]

    *_, person = paint(*bulk(), (10, Scene(2, 4, True)))
    assert person == pytest.approx(10 + 4 * 1.5)  # at once, and alone: one of them would slow it by 1.7
    assert max(paint(*bulk())) == pytest.approx(20 * 2.5)


def test_workers_are_a_queue_with_one_server_each() -> None:
    """M/M/1 at half load: the mean time in it is 2 s."""
    env, rng, waits = simpy.Environment(), random.Random(5), []
    fleet = Fleet(env, lambda done: Worker(env, done), start_s=0, max_ongoing=10**6, rng=rng)
    fleet.scale(1, at_once=True)

    def one() -> Generator[simpy.Event]:
        began = env.now
        yield fleet.call(Timed(rng.expovariate(1)))
        waits.append(env.now - began)

    def come() -> Generator[simpy.Event]:
        for _ in range(20_000):
            yield env.timeout(rng.expovariate(0.5))
            env.process(one())

    env.process(come())
    env.run()
    assert sum(waits) / len(waits) == pytest.approx(2.0, rel=0.1)


def test_a_fleet_counts_replicas_while_they_start_run_and_drain() -> None:
    env = simpy.Environment()
    fleet = Fleet(env, lambda done: Worker(env, done), start_s=10, max_ongoing=2, rng=random.Random(1))
    fleet.scale(1)
    answered = fleet.call(Timed(5))
    env.run(until=9)
    assert (fleet.running, fleet.ongoing) == (0, 1)
    env.run(until=11)
    fleet.scale(0)
    assert (fleet.running, fleet.ongoing) == (0, 1)  # it drains
    env.run(until=answered)
    env.run(until=40)
    assert fleet.replica_seconds == pytest.approx(15)
    assert fleet.members == []


def test_the_line_is_claimed_in_the_stores_order() -> None:
    now = 0.0
    line = Queue(lambda: now, lambda interactive, engine: 0.0)
    bulk = [Shot(Arrival(0.0, interactive=False, tenant=9)) for _ in range(3)]
    first, second, other = (Shot(Arrival(at, tenant=who)) for at, who in ((1.0, 1), (2.0, 1), (3.0, 2)))
    for shot in (*bulk, first, second, other):
        line.add(shot)
    assert [line.claim(), line.claim(), line.claim()] == [first, other, second]  # fair between tenants
    assert line.claim() is bulk[0]
    now = AGEING_S + 1
    person = Shot(Arrival(now, tenant=1))
    line.add(person)
    aged = {line.claim(), line.claim()}
    assert aged == {bulk[1], person}  # one that aged counts as a person's
    load = line.load()
    assert (load.catalogue.waiting.shots, load.interactive.running.shots) == (1, 4)


def contexts(
    config: AutoscalingConfig, ongoing: float, target: int, state: dict[str, Any], now: int
) -> AutoscalingContext:
    return AutoscalingContext(
        deployment_id=DeploymentID("generator", "a"),
        deployment_name="generator",
        app_name="a",
        current_num_replicas=target,
        target_num_replicas=target,
        running_replicas=[],
        total_num_requests=ongoing,
        total_queued_requests=0.0,
        aggregated_metrics=None,
        raw_metrics=None,
        capacity_adjusted_min_replicas=config.min_replicas,
        capacity_adjusted_max_replicas=config.max_replicas,
        policy_state=state,
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=now,
        config=config,
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_stock_autoscaler_decides_as_serve_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve's own wrapped policy on a patched clock, and the simulation's, over the same random load:
    the same targets."""
    config = AutoscalingConfig(min_replicas=0, max_replicas=20, upscale_delay_s=15, downscale_delay_s=40)
    theirs = _apply_autoscaling_config(replica_queue_length_autoscaling_policy)
    ours = EachItsOwn({"generator": config})
    rng, handle, target = random.Random(seed), Handle(config), 1
    state: dict[str, Any] = {}
    level = 0.0
    for now in range(400):
        if now % 50 == 0:
            level = rng.choice((0, 2, 10, 40))
        ongoing = level + rng.random() * (level > 0)
        monkeypatch.setattr("ray.serve.autoscaling_policy.time.time", lambda now=now: float(now))
        decided, state = theirs(contexts(config, handle.look(now, ongoing), target, state, now))
        decided = max(0, min(20, int(-(-decided // 1))))
        views = {"generator": View(target, target, ongoing)}
        assert ours.targets(float(now), views, dict)["generator"] == decided
        target = decided


def test_the_mean_over_the_look_back_is_serves() -> None:
    rng = random.Random(1)
    samples = [(float(at), rng.uniform(0, 9)) for at in range(0, 30, 6)]
    theirs = aggregate_timeseries(
        [TimeStampedValue(*one) for one in samples], AggregationFunction.MEAN, last_window_s=4.0
    )
    assert step_mean(samples, samples[-1][0] + 4.0) == pytest.approx(theirs)


def test_what_serve_learns_is_late() -> None:
    handle = Handle(AutoscalingConfig())
    known = [handle.look(float(at), 0.0 if at < 5 else 60.0) for at in range(50)]
    assert known[9] == 0  # pushed at 0, next at 10
    assert 0 < known[12] < 60  # a mean over the look-back
    assert known[49] == 60


def test_every_shot_is_done_and_nothing_is_painted_twice() -> None:
    trace = traces.steady(0.8, seed=3, end_s=300)
    run = Pipeline(trace, A_24_GB_CARD, contest.fixed(6)).simulate()
    assert all(shot.done_s < float("inf") for shot in run.shots)
    solo = A_24_GB_CARD.step_s(2) * 20
    assert min(shot.latency_s for shot in run.shots) >= solo
    assert run.replica_seconds["generator"] == pytest.approx(6 * 300)


def test_a_long_line_is_claimed_no_faster_than_the_database_ranks_it() -> None:
    bulk = [Arrival(0.0, interactive=False, pictures=1, steps=1, rows=1, tenant=9) for _ in range(500)]
    slow = replace(A_24_GB_CARD, claim_fixed_s=0.5, claim_each_s=0.0, database_cores=2, cut_s=0.0)
    run = Pipeline(Trace("x", "x", 300.0, bulk), slow, contest.fixed(20)).simulate()
    assert run.catalogue_done_s() == pytest.approx(500 * 0.5 / 2, rel=0.05)


def test_seeds_repeat() -> None:
    def latencies() -> list[float]:
        run = Pipeline(traces.steady(0.5, seed=4, end_s=200), A_24_GB_CARD, contest.ours(A_24_GB_CARD, 8, 3)).simulate()
        return [shot.latency_s for shot in run.shots]

    assert latencies() == latencies()


def test_a_catalogue_leaves_people_in_time_and_generators_go_when_it_is_done() -> None:
    end_s = 3600.0
    people = traces.steady(0.3, seed=2, end_s=end_s).arrivals
    bulk = [Arrival(300.0 + i * 0.1, interactive=False, tenant=9) for i in range(400)]
    trace = Trace("x", "x", end_s, sorted([*people, *bulk], key=lambda arrival: arrival.at_s))
    run = Pipeline(trace, A_24_GB_CARD, contest.ours(A_24_GB_CARD, 16, 3, catalogue_s=900.0)).simulate()
    missed, count = run.misses(contest.SLO_S)
    assert missed <= 0.02 * count
    assert run.catalogue_done_s() <= 1.3 * 900
    assert run.samples[-1].targets["generator"] <= 5


def test_no_stage_flaps_while_people_come_by_chance() -> None:
    """An even rate, from too few generators: each stage finds its size and stays near it. (With one short window:
    5 flaps, 28 changes.)"""
    trace = traces.steady(1.2, seed=2, end_s=1500.0)
    run = Pipeline(trace, A_24_GB_CARD, contest.ours(A_24_GB_CARD, 16, 3), tick_s=2.0).simulate()
    assert run.flaps() == 0
    assert len(run.changes["generator"]) <= 16  # 13 to 15, by the seed
    assert len(run.changes["finisher"]) <= 10
    assert run.misses(contest.SLO_S, 600.0)[0] == 0


def test_heavy_stages_sleep_through_a_quiet_hour_and_wake_for_a_shot() -> None:
    arrivals = [Arrival(10.0), Arrival(3000.0)]
    trace = Trace("x", "x", 3300.0, arrivals)
    run = Pipeline(trace, A_24_GB_CARD, contest.ours(A_24_GB_CARD, 4, 1, low=0)).simulate()
    asleep = next(sample for sample in run.samples if sample.at_s >= 2000)
    assert (asleep.running["generator"], asleep.running["sam_encoder"], asleep.running["director"]) == (0, 0, 1)
    woken = run.shots[1]
    assert A_24_GB_CARD.start_s["generator"] < woken.latency_s < A_24_GB_CARD.start_s["generator"] + 20


def test_a_burst_is_met_with_fewer_late_shots_than_under_serves_defaults(tmp_path: Path) -> None:
    """P9 in small; `python -m bench.p9_burst` is the measure."""
    whole = traces.burst(0.6, seed=1, at_s=600.0, for_s=240.0)
    trace = replace(whole, end_s=1100.0, arrivals=[a for a in whole.arrivals if a.at_s < 1100])
    ours = Pipeline(trace, A_24_GB_CARD, contest.ours(A_24_GB_CARD, 30, 4)).simulate()
    stock = Pipeline(trace, A_24_GB_CARD, contest.stock(30, 4)).simulate()
    late, theirs = (run.misses(contest.SLO_S, 300.0)[0] for run in (ours, stock))
    assert theirs >= 40
    assert late <= 0.35 * theirs
    assert sum(ours.replica_seconds.values()) <= 1.1 * sum(stock.replica_seconds.values())
    lines = [report.figures("burst", name, run) for name, run in (("ours", ours), ("stock", stock))]
    assert json.loads(json.dumps(lines)) == lines
    assert report.table(lines).row_count == 2
    runs = {("burst", "ours"): ours, ("burst", "stock"): stock, ("burst", "tuned"): stock}
    pictures = report.draw(runs, tmp_path)
    assert [path.name for path in pictures] == ["capacity-burst.png", "capacity-misses.png"]
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n")
    report.write_page(page, lines, pictures)
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("before\n<!-- figures -->\n| trace |")
    assert text.endswith("(pictures/capacity-misses.png)\n<!-- /figures -->\nafter\n")


def test_more_of_a_fixed_fleet_is_never_worse() -> None:
    trace = traces.burst(0.3, seed=1, at_s=100.0, for_s=100.0)
    trace = replace(trace, end_s=400.0, arrivals=[a for a in trace.arrivals if a.at_s < 400])
    late = []
    for count in (1, 4, 12):
        run = Pipeline(trace, A_24_GB_CARD, Fixed(dict.fromkeys(STAGES, count))).simulate()
        late.append(run.misses(contest.SLO_S)[0])
    assert late == sorted(late, reverse=True)
    assert late[0] > late[-1]


def as_taken(machine: Machine) -> calibrate.Runs:
    """The small runs on paper, as the store would record them."""
    timing_ms = {"begin": machine.begin_s, "steps": calibrate.STEPS * machine.step_s(2), "decode": machine.decode_s}
    picture = SimpleNamespace(
        recipe=SimpleNamespace(timing_ms={stage: 1000 * seconds for stage, seconds in timing_ms.items()})
    )
    began = datetime(2026, 1, 1, tzinfo=UTC)
    trace = Trace("x", "x", 1.0, [Arrival(0.0, pictures=1, steps=calibrate.STEPS)])
    [shot] = Pipeline(trace, machine, Fixed(dict.fromkeys(STAGES, 1))).simulate().shots
    lone: Any = SimpleNamespace(images=[picture], created_at=began, finished_at=began + timedelta(seconds=shot.done_s))
    return calibrate.Runs([lone], [calibrate._simulated_s(machine)])


@pytest.mark.parametrize("max_rows", [2, 8, 16])
def test_the_fit_finds_a_machines_times_again(max_rows: int) -> None:
    """Also where a director holds fewer shots than a step has room for."""
    fixed_s, each_s = (0.04, 0.02) if max_rows > 2 else (0.0, 0.04)
    known = Machine(
        "known",
        fixed_s,
        each_s,
        max_rows,
        begin_s=0.05,
        decode_s=0.08,
        edges_s=0.0,
        layout_s=0.1,
        finish_s=0.1,
        director_holds=6,
    )
    found = calibrate.fit(as_taken(known), max_rows)
    assert found.step_s(2) == pytest.approx(known.step_s(2), rel=0.01)
    assert found.step_s(8) == pytest.approx(known.step_s(8), rel=0.02)
    assert found.layout_s + found.finish_s == pytest.approx(0.2, abs=0.02)


def test_a_fit_on_several_runs_takes_their_medians() -> None:
    known = Machine("known", 0.04, 0.02, 8, begin_s=0.05, decode_s=0.08, edges_s=0.0, layout_s=0.1, finish_s=0.1)
    taken = as_taken(known)
    slowed = calibrate.Runs(taken.lone * 3, [*taken.at_once_s * 2, 10 * taken.at_once_s[0]])
    assert calibrate.fit(slowed, 8) == calibrate.fit(taken, 8)


def test_the_comparison_tells_relative_errors() -> None:
    compared = Compared(2.0, 2.2, 4.0, 4.0, 10.0, 9.0, 30)
    assert compared.errors == pytest.approx({"throughput": 0.1, "p50": 0.0, "p95": -0.1})
