"""The pipeline's policy: bursts, ramps, no flapping, sleep and waking, proportion, headroom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cluster.autoscaling import Demand, GatewayLoad, Load, Observation, Pipeline, Stage, State, _engine_need, decide

PLAN = Pipeline(
    row_step_s=0.05,
    picture_s=0.0,
    scenes=4,
    start_s=30,
    answer_s=10,
    catalogue_s=1000,
    utilisation=0.8,
    spare=1,
    calm_s=100,
    steady_s=400,
    idle_s=300,
    shot_s={"sam_encoder": 0.1, "canny": 0.2},
)
HEAVY = ("sam_encoder", "mask_decoder", "generator")


def shots(count: float) -> Load:
    """The load of `count` shots, each with one second of a generator's work."""
    return Load(count, count, 20 * count)


def people(rate: float, waiting: float = 0.0) -> Demand:
    return Demand(waiting=shots(waiting), fast=shots(rate), slow=shots(rate))


class Cluster:
    """The deployments as Serve would keep them, with replicas that run at once; `tick` takes one decision."""

    def __init__(self, plan: Pipeline = PLAN, low: int = 1, high: int = 50, **targets: int) -> None:
        names = ("sam_encoder", "mask_decoder", "canny", "generator", "director")
        self.stages = {
            name: Stage(targets.get(name, 1), targets.get(name, 1), max(low, name == "director"), high, 0.0, 4.0)
            for name in names
        }
        self.plan, self.state, self.at_s = plan, State(), 0.0
        self.history: list[int] = []

    def tick(
        self,
        interactive: Demand | None = None,
        catalogue: Demand | None = None,
        *,
        ongoing: Mapping[str, float] | None = None,
        after_s: float = 5.0,
        **seen: Any,
    ) -> dict[str, int]:
        self.at_s += after_s
        stages = {n: replace(s, ongoing=(ongoing or {}).get(n, 0.0)) for n, s in self.stages.items()}
        look = Observation(self.at_s, stages, interactive or Demand(), catalogue or Demand(), **seen)
        replicas, self.state = decide(look, self.state, self.plan)
        self.stages = {n: replace(s, target=replicas[n], running=replicas[n]) for n, s in self.stages.items()}
        self.history.append(replicas["generator"])
        return replicas

    def ticks(
        self,
        count: int,
        interactive: Demand | None = None,
        catalogue: Demand | None = None,
        **more: Any,
    ) -> dict[str, int]:
        for _ in range(count):
            replicas = self.tick(interactive, catalogue, **more)
        return replicas


def test_arriving_work_fills_the_generators_to_the_utilisation() -> None:
    assert Cluster(generator=10).ticks(3, people(8.0))["generator"] == 10  # 8 s of work a second / 0.8


def test_a_burst_is_answered_at_the_first_look() -> None:
    cluster = Cluster(generator=4)
    cluster.ticks(40, people(3.0))
    burst = Demand(waiting=shots(10), fast=shots(15.0), slow=shots(4.0))
    assert cluster.tick(burst)["generator"] >= 15 / 0.8


def test_chance_is_not_a_burst() -> None:
    lucky = Demand(fast=shots(1.2), slow=shots(1.0))
    assert lucky.arriving == lucky.slow
    assert Demand(fast=shots(5.0), slow=shots(1.0)).arriving.shots == 5.0


def test_waiting_work_is_drained_within_the_answer_time() -> None:
    rate_only = Cluster(generator=3).ticks(3, people(2.0))["generator"]
    behind = Cluster(generator=rate_only).tick(people(2.0, waiting=100))["generator"]
    # 100 s of work, less what two full-ish batches hold, within 10 s: some nine generators more
    assert behind - rate_only >= (100 - rate_only * PLAN.scenes / 2) / PLAN.answer_s - 1


def test_work_that_comes_while_replicas_start_is_asked_for_once() -> None:
    """Half-way through the start the same burst asks for no more than at its beginning."""
    stage = Stage(40, 4, 1, 100, 0, 4)
    burst = Demand(fast=shots(20.0), slow=shots(20.0))
    early, state = decide(Observation(0.0, {"generator": stage}, burst), State(), PLAN)
    later = replace(burst, waiting=shots(16 * 15))
    late, _ = decide(Observation(15.0, {"generator": replace(stage, target=early["generator"])}, later), state, PLAN)
    assert late["generator"] <= early["generator"] + 1


def test_a_ramp_is_followed_up_and_down_without_turning() -> None:
    cluster = Cluster()
    for rate in [n / 4 for n in range(1, 60)]:
        cluster.tick(people(rate))
    assert cluster.history == sorted(cluster.history)
    top = len(cluster.history)
    for rate in [n / 4 for n in range(60, 0, -1)]:
        cluster.tick(people(rate))
    down = cluster.history[top:]
    assert down == sorted(down, reverse=True)
    assert down[-1] < 12


def test_down_waits_for_calm_then_for_steadiness_and_keeps_a_margin() -> None:
    cluster = Cluster(generator=20)
    cluster.ticks(4, people(16.0))
    assert cluster.history[-1] == 20
    before = cluster.ticks(int(PLAN.calm_s / 5) - 1, people(4.0))["generator"]
    soon = cluster.ticks(2, people(4.0))["generator"]
    assert (before, soon) == (20, 8)  # 5 needed, two thirds filled at most
    late = cluster.ticks(int((PLAN.steady_s - PLAN.calm_s) / 5), people(4.0))["generator"]
    assert late == 6  # at most 0.9 filled


def test_the_first_look_takes_nothing_away() -> None:
    """A controller that has forgotten, or a cluster that was just deployed:
    what runs is kept until the window has been watched."""
    cluster = Cluster(generator=6, director=3)
    for _ in range(int(PLAN.calm_s / 5)):
        replicas = cluster.tick(people(0.1))
        assert replicas["generator"] >= 6
        assert replicas["director"] >= 3
    assert cluster.ticks(2, people(0.1))["generator"] < 6


def test_a_stage_that_shrank_is_not_turned_by_chance_but_by_a_burst() -> None:
    def shrunk() -> Cluster:
        cluster = Cluster(generator=10)
        cluster.ticks(4, people(8.0))
        while cluster.history[-1] == 10:
            cluster.tick(people(4.0))
        return cluster

    assert shrunk().history[-1] == 8
    assert shrunk().tick(people(7.2))["generator"] == 8  # 9 needed
    assert shrunk().tick(people(16.0))["generator"] >= 20
    steady = shrunk()
    assert steady.ticks(int(PLAN.steady_s / 5), people(5.6))["generator"] == 8
    assert steady.tick(people(7.2))["generator"] == 9


@given(
    loads=st.lists(st.floats(0, 30), min_size=5, max_size=80),
    waiting=st.lists(st.floats(0, 200), min_size=5, max_size=80),
)
@settings(max_examples=30, deadline=None)
def test_a_stage_that_grew_does_not_shrink_before_it_was_calm(loads: list[float], waiting: list[float]) -> None:
    """Under any load, no stage shrinks within `calm_s` after it has grown."""
    cluster = Cluster()
    grew, before = {}, {name: stage.target for name, stage in cluster.stages.items()}
    for rate, behind in zip(loads, waiting, strict=False):
        now = cluster.tick(people(rate, waiting=behind))
        for name, count in now.items():
            if count > before[name]:
                grew[name] = cluster.at_s
            elif count < before[name]:
                assert cluster.at_s - grew.get(name, -1e9) >= PLAN.calm_s
        before = now


@given(rate=st.floats(0.5, 20), noise=st.floats(0, 0.04), period=st.integers(1, 19))
@settings(max_examples=20, deadline=None)
def test_an_oscillation_faster_than_calm_moves_nothing_once_met(rate: float, noise: float, period: int) -> None:
    cluster = Cluster()
    for i in range(150):
        cluster.tick(people(rate * (1 + (noise if i // period % 2 else -noise))))
    assert len(set(cluster.history[int(PLAN.steady_s / 5) + 20 :])) == 1


def test_stages_keep_their_proportion() -> None:
    # canny works for what the generators finish, the encoder for what arrives, the director holds what they paint
    replicas = Cluster(generator=20).ticks(4, people(16.0))
    assert replicas["generator"] == 20
    assert replicas["canny"] == 4  # 16 shots a second x 0.2 s / 0.8
    assert replicas["sam_encoder"] == 2  # 16 x 0.1 s / 0.8
    assert replicas["director"] == 25  # 20 generators x 4 scenes x 1.25 / 4 calls
    assert replicas["mask_decoder"] == 1


def test_the_finisher_follows_shots_and_their_images() -> None:
    cluster = Cluster(replace(PLAN, shot_s={"canny": 0.2}, image_s={"canny": 0.1}), generator=20)
    four_images = Demand(
        fast=Load(4, 16, 320), slow=Load(4, 16, 320)
    )  # 16 s of work a second, as 16 shots of one image
    replicas = cluster.ticks(4, four_images)
    assert replicas["generator"] == 20
    assert replicas["canny"] == 3  # 4 shots a second x (0.2 s + 4 x 0.1 s) / 0.8


def test_a_stage_with_more_calls_than_its_proportion_gets_what_they_ask() -> None:
    assert Cluster().ticks(3, people(1.0), ongoing={"sam_encoder": 22, "mask_decoder": 9})["sam_encoder"] == 6


def test_shots_of_several_pictures_need_fewer_directors() -> None:
    one = Cluster(generator=20).ticks(4, people(16.0))
    four = Demand(fast=Load(4, 16, 320), slow=Load(4, 16, 320))
    assert Cluster(generator=20).ticks(4, four)["director"] == pytest.approx(one["director"] / 4, abs=1)


def test_a_catalogue_is_given_its_time_and_people_their_headroom() -> None:
    bulk = Demand(waiting=shots(10_000))
    alone = Cluster(generator=5).ticks(3, people(4.0))["generator"]
    both = Cluster(generator=5).ticks(3, people(4.0), bulk)["generator"]
    assert both == alone + 10 + 1  # 10,000 s of work within 1,000 s, and one spare
    small = Demand(waiting=shots(20))
    assert Cluster(generator=5).ticks(3, people(4.0), small)["generator"] == alone  # it rides along


def test_at_the_limit_the_catalogue_gives_way() -> None:
    """A catalogue that could fill the cluster does not take the capacity of interactive shots."""
    bulk = Demand(waiting=shots(10**6))
    seen = Observation(0.0, {"generator": Stage(50, 50, 1, 50)}, people(20.0), bulk)
    assert _engine_need("generator", seen, 0.0, PLAN, PLAN.start_s).generators == 50
    assert Cluster(high=50).ticks(3, people(20.0), bulk)["generator"] == 50


def test_a_catalogues_generators_stay_until_its_end_and_go_with_it() -> None:
    """Draining by a share of what is left would never end; generators are kept, and leave when the work does."""
    cluster, left, ended_at = Cluster(), 3000.0, None
    for _ in range(400):
        running = cluster.stages["generator"].running
        left = max(0.0, left - running * 5.0)
        cluster.tick(None, Demand(waiting=shots(left)))
        if not left and ended_at is None:
            ended_at = cluster.at_s
        if cluster.stages["generator"].running < 4 and left:
            assert left < 4 * PLAN.calm_s
    assert ended_at is not None
    assert ended_at <= 1.1 * PLAN.catalogue_s
    assert cluster.history[-1] == 1


def test_heavy_stages_sleep_after_idleness_and_wake_with_the_first_shot_or_click() -> None:
    cluster = Cluster(low=0)
    cluster.ticks(3, people(2.0))
    awake = cluster.ticks(int(PLAN.idle_s / 5) - 1)
    assert awake["generator"] == 1
    asleep = cluster.ticks(2)
    assert {name: asleep[name] for name in HEAVY} == dict.fromkeys(HEAVY, 0)
    assert asleep["director"] >= 1  # it reports what waits
    assert cluster.tick(Demand(waiting=shots(1)))["generator"] == 1
    cluster.ticks(200)
    # a photo is being encoded: its shot will come, so the generator wakes first
    assert cluster.tick(ongoing={"sam_encoder": 1})["generator"] == 1


def test_idleness_counts_from_the_last_shot_not_from_the_end_of_the_long_window() -> None:
    cluster = Cluster(low=0)
    cluster.tick(people(1.0))
    assert cluster.ticks(int(PLAN.idle_s / 5) + 1, Demand(slow=shots(0.01)))["mask_decoder"] == 0


def test_what_may_not_sleep_does_not() -> None:
    assert min(Cluster(low=1).ticks(500).values()) == 1


def test_before_any_report_each_stage_follows_its_own_calls() -> None:
    ongoing = {"generator": 20, "director": 8}
    replicas = Cluster().tick(ongoing=ongoing, reported=False)
    assert (replicas["generator"], replicas["director"]) == (5, 2)


def test_what_a_generator_measured_is_remembered_while_none_runs() -> None:
    cluster = Cluster(low=0, generator=20)
    measured = cluster.ticks(2, people(8.0), row_step_s=0.1, step_rows=16)
    assert (measured["generator"], measured["director"]) == (20, 50)  # 8 scenes a generator, not the plan's 4
    assert cluster.tick(people(8.0)) == measured


@pytest.mark.parametrize(
    ("faulty", "rule"),
    [
        ({"utilisation": 0}, "utilisation must be in"),
        ({"calm_s": 0}, "calm_s must be > 0"),
        ({"calm_s": 900}, "steady_s must be ≥ calm_s"),
        ({"calm": 1}, "calm"),
    ],
)
def test_a_faulty_plan_is_refused(faulty: dict[str, int], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        TypeAdapter(Pipeline).validate_python(faulty)


def test_decoders_follow_the_uploads_that_gateways_hold_and_gateways_their_processors() -> None:
    """Serve sees 8 calls of a gateway that holds 64 uploads; all gateways together are short of processors."""
    stages = {
        "generator": Stage(0, 0, 0, 9),
        "gateway": Stage(2, 2, 2, 32, ongoing=70, target_ongoing=64),
        "photo_decoder": Stage(4, 4, 1, 32, ongoing=8, target_ongoing=1),
    }
    plan = Pipeline(photo_s=1.4, answer_s=10, utilisation=0.75)
    seen = Observation(0.0, stages, gateways=GatewayLoad(uploads=64, cores=1.9))
    replicas, _ = decide(seen, State(), plan)
    assert replicas["photo_decoder"] == 14  # 4 busy at 0.75, and 56 x 1.4 s within 10 s
    assert replicas["gateway"] == 3  # 1.9 cores at 0.75
    idle, _ = decide(Observation(0.0, stages, gateways=GatewayLoad(0, 0.1)), State(), plan)
    assert idle["gateway"] == 2


class TestTrainings:
    """The trainer follows its own calls alone."""

    def cluster(self) -> Cluster:
        cluster = Cluster(low=0)
        cluster.stages["trainer"] = Stage(0, 0, 0, 4, 0.0, 1.0)
        return cluster

    def test_shots_wake_no_trainer(self) -> None:
        assert self.cluster().ticks(5, people(3.0))["trainer"] == 0

    def test_each_training_has_a_replica_and_wakes_nothing_else(self) -> None:
        """Hours later, everything but the trainers sleeps."""
        cluster = self.cluster()
        assert cluster.tick(ongoing={"trainer": 3.0})["trainer"] == 3
        replicas = cluster.ticks(400, ongoing={"trainer": 3.0})
        assert (replicas["trainer"], replicas["generator"], replicas["sam_encoder"]) == (3, 0, 0)

    def test_a_trainer_sleeps_soon_after_its_training(self) -> None:
        cluster = self.cluster()
        cluster.ticks(10, ongoing={"trainer": 1.0})
        assert cluster.ticks(int(PLAN.calm_s / 5) + 1, people(3.0))["trainer"] == 0
