"""Books and verdicts, on records made by hand: no clock, no server."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from loadtest.capacity.knee import Trial, knee, next_load
from loadtest.capacity.trial import misses
from loadtest.checks.verdict import EXIT_CODES, Check, Outcome, allowed_lag_ms, judge
from loadtest.run.faults import InjectedFault, recoveries_s
from loadtest.run.recorder import Recorder, Shot, contested, place_errors, share_within
from loadtest.scenarios.scenario import Fault, Scenario

QUIET = [0] * 12


def scenario(**fields: Any) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "probes",
            "sentence": "Probes.",
            "timeline": [
                {"name": "warm", "seconds": 10, "load": 1, "warm_up": True},
                {"name": "steady", "seconds": 90, "load": 1},
            ],
            "traffic": [{"persona": "probe", "rate_per_s": 10}],
            "slo": {
                "goodput": 0.95,
                "errors": 0.01,
                "classes": {"probe": {"p50_ms": 50, "p95_ms": 100, "p99_ms": 200}},
            },
            **fields,
        }
    )


def op(
    at_s: float, ms: float | None, *, ok: bool = True, name: str = "probe", why: str = "", **more: Any
) -> dict[str, Any]:
    return {
        "k": "op",
        "c": name,
        "n": 0,
        "t": 0,
        "at": at_s,
        "sent": at_s,
        "ms": ms,
        "ok": ok,
        "why": why,
        "st": {},
        **more,
    }


def second(at_s: int, *, cpu: float = 0.1, lags: list[int] | None = None) -> dict[str, Any]:
    return {"k": "gen", "w": 0, "at": at_s, "cpu": cpu, "rss_mib": 80, "open": 1, "lags_ms": lags or [100, *QUIET[1:]]}


def recorder(*records: dict[str, Any], of: Scenario | None = None, sent: int = 1000) -> Recorder:
    made = Recorder(of or scenario())
    for record in records or (op(20, 10),):
        assert made.feed(record)
    made.feed(second(1))
    made.feed({"k": "sent", "w": 0, "count": sent})
    return made


def outcome(made: Recorder, **more: Any) -> tuple[Outcome, list[str]]:
    verdict = judge(made.scenario, made, planned=1000, **more)
    return verdict.outcome, [check.name for check in (*verdict.checks, *verdict.validity) if not check.holds]


def evenly(ms_of: Callable[[int], float], count: int = 1000) -> list[dict[str, Any]]:
    return [op(10 + 89 * index / count, ms_of(index)) for index in range(count)]


def test_a_run_within_its_bounds_holds() -> None:
    assert outcome(recorder(*evenly(lambda index: 40 + index % 10))) == ("holds", [])
    assert EXIT_CODES["holds"] == 0


def test_a_slow_server_fails_its_percentiles_and_its_goodput() -> None:
    told, misses = outcome(recorder(*evenly(lambda index: 300.0)))
    assert (told, EXIT_CODES[told]) == ("fails", 1)
    assert misses == ["goodput", "probe p50", "probe p95", "probe p99"]


@pytest.mark.parametrize(
    ("slow", "misses"), [(9, []), (11, ["probe p99"]), (51, ["goodput", "probe p95", "probe p99"])]
)
def test_a_percentile_fails_when_more_than_its_share_is_late(slow: int, misses: list[str]) -> None:
    assert outcome(recorder(*evenly(lambda index: 250.0 if index % 1000 < slow else 20.0)))[1] == misses


def test_errors_have_a_budget() -> None:
    within = [op(20, 10, ok=False, why="500 internal") for _ in range(10)]
    assert outcome(recorder(*evenly(lambda index: 10.0, 990), *within)) == ("holds", [])
    over = [op(20, 10, ok=False, why="500 internal") for _ in range(12)]
    made = recorder(*evenly(lambda index: 10.0, 988), *over)
    assert outcome(made) == ("fails", ["errors"])
    assert made.classes["probe"].why == {"500 internal": 12}


def test_an_answer_that_was_never_asked_for_is_a_failure_without_a_latency() -> None:
    made = recorder(
        *evenly(lambda index: 10.0, 500), *(op(30, None, ok=False, why="abandoned", sent=None) for _ in range(500))
    )
    assert outcome(made)[1] == ["goodput", "errors"]
    assert made.classes["probe"].histogram.get_total_count() == 500


def test_what_a_warm_up_answers_is_not_judged() -> None:
    made = recorder(*(op(5, 9_000) for _ in range(100)), *evenly(lambda index: 10.0))
    assert outcome(made) == ("holds", [])
    assert made.classes["probe"].offered == 1000
    assert sum(window.offered for window in made.classes["probe"].windows) == 1100


def test_a_class_without_any_answer_does_not_hold() -> None:
    assert "probe answers" in outcome(recorder(op(5, 10)))[1]


def test_a_late_generator_makes_a_run_invalid_whatever_the_server_did() -> None:
    assert allowed_lag_ms(scenario()) == 10
    late = [0, 0, 0, 0, 100, *QUIET[5:]]  # 100 delays of 10 to 20 ms
    made = recorder(*evenly(lambda index: 300.0))
    made.feed(second(2, lags=late))
    told, misses = outcome(made)
    assert (told, EXIT_CODES[told]) == ("invalid", 3)
    assert "generator lag p99" in misses


def test_a_busy_generator_and_a_schedule_cut_short_make_a_run_invalid() -> None:
    made = recorder(*evenly(lambda index: 10.0))
    for at_s in range(9):
        made.feed(second(at_s, cpu=0.97 if at_s == 3 else 0.2))
    assert outcome(made) == ("invalid", ["generator busy seconds"])
    assert outcome(recorder(*evenly(lambda index: 10.0), sent=994)) == ("invalid", ["arrivals sent"])


def test_the_generator_may_be_late_by_a_share_of_the_tightest_bound() -> None:
    slow = {"goodput": 0.9, "errors": 0.1, "classes": {"probe": {"p50_ms": 1000, "p95_ms": 2000, "p99_ms": 4000}}}
    assert allowed_lag_ms(scenario(slo=slow)) == 200


def test_wrong_pictures_and_answers_of_others_fail_a_run() -> None:
    made = recorder(*evenly(lambda index: 10.0))
    made.feed({"k": "stranger", "ok": True, "at": 20, "status": 404})
    assert outcome(made)[0] == "holds"
    assert outcome(made, wrong_pictures=1) == ("fails", ["wrong pictures"])
    made.feed({"k": "stranger", "ok": False, "at": 20, "status": 200})
    assert outcome(made) == ("fails", ["somebody else's answers"])


def shot_record(number: int, image: str, created: float = 0.0, started: float = 1.0) -> dict[str, Any]:
    request = {"seed": number, "images": 1}
    return op(
        20,
        10,
        name="api_shot",
        shot=f"shot-{number}",
        request=request,
        photo="p",
        pictures=[[image, "00"]],
        times=[created, started, started + 1],
    )


def test_an_image_that_two_shots_were_given_is_somebody_elses() -> None:
    bounds = {"p50_ms": 50, "p95_ms": 100, "p99_ms": 200}
    shots = scenario(
        traffic=[{"persona": "integrator", "rate_per_s": 1}],
        personas={"integrator": {"fresh": 0}},
        slo={"goodput": 0.1, "errors": 0.9, "classes": {"api_shot": bounds}},
    )
    made = recorder(
        shot_record(1, "/v1/images/a"), shot_record(2, "/v1/images/b"), shot_record(3, "/v1/images/a"), of=shots
    )
    assert outcome(made) == ("fails", ["somebody else's answers"])
    assert (made.classes["api_shot"].right, made.classes["api_shot"].offered) == (2, 3)


def test_the_sample_is_bounded_and_fair() -> None:
    bounds = {"p50_ms": 50, "p95_ms": 100, "p99_ms": 200}
    counts = [0] * 40
    for seed in range(200):
        shots = scenario(
            seed=seed,
            sample=10,
            traffic=[{"persona": "integrator", "rate_per_s": 1}],
            personas={"integrator": {"fresh": 0}},
            slo={"goodput": 0.1, "errors": 0.9, "classes": {"api_shot": bounds}},
        )
        made = Recorder(shots)
        for number in range(40):
            made.feed(shot_record(number, f"/v1/images/{number}"))
        assert len(made.sample) == 10
        for record in made.sample:
            counts[record["request"]["seed"]] += 1
    assert min(counts) > 25  # 50 each on average
    assert max(counts) < 80


def test_a_told_place_is_held_against_what_went_before() -> None:
    truthful = [Shot(str(n), "shot", 0, n, created=float(n) / 10, started=10.0 + n, finished=99.0) for n in range(5)]
    assert place_errors(truthful) == [0, 0, 0, 0, 0]
    lied = [*truthful[:4], Shot("4", "shot", 0, 0, created=0.4, started=14.0, finished=99.0)]
    assert place_errors(lied) == [0, 0, 0, 0, 4]
    overtaken = [*truthful[:2], Shot("late", "shot", 0, None, created=0.9, started=10.5, finished=99.0)]
    assert place_errors(overtaken) == [0, 0]
    begun = [Shot("0", "shot", 0, 0, 0.0, 0.1, 9.0), Shot("1", "shot", 0, 0, 5.0, 9.0, 12.0)]
    assert place_errors(begun) == [0, 0]
    assert share_within([0, 1, 4], 1) == pytest.approx(2 / 3)
    assert share_within([], 0) == 1


def test_recovery_is_until_the_last_bad_answer_before_the_next_fault() -> None:
    injected = [
        InjectedFault(Fault(at_s=10, kill="generator"), 10.2, 3.0),
        InjectedFault(Fault(at_s=50, kill="gateway"), 50.0, 4.0),
    ]
    assert recoveries_s(injected, [5.0, 11.2, 18.2, 49.0, 55.0], end_s=100) == pytest.approx([38.8, 5.0])
    assert recoveries_s(injected, [5.0], end_s=100) == [0.0, 0.0]


def test_a_check_holds_on_its_side_of_the_bound() -> None:
    assert Check("a", 1.0, 1.0).holds
    assert not Check("a", 1.01, 1.0).holds
    assert Check("a", 1.0, 1.0, at_least=True).holds
    assert not Check("a", 0.99, 1.0, at_least=True).holds
    assert not Check("a", math.inf, 1.0).holds


@pytest.mark.parametrize("true_knee", [0.07, 0.9, 1.0, 3.3, 40.0])
def test_the_search_finds_a_knee_in_few_trials(true_knee: float) -> None:
    trials: list[Trial] = []
    while not (len(trials) >= 4 and knee(trials).known):
        load = next_load(trials)
        trials.append(Trial(load, load <= true_knee))
        assert len(trials) <= 16
    found = knee(trials)
    assert found.low <= true_knee <= found.high
    assert found.load == pytest.approx(true_knee, rel=0.15)


def test_the_interval_holds_the_knee_as_often_as_it_says() -> None:
    """Trials that hold by chance near the knee: of 40 searches at least 32 intervals of 90 % must hold it (seeds are
    fixed)."""
    from random import Random

    held = 0
    for seed in range(40):
        rng = Random(seed)
        trials: list[Trial] = []
        true_knee = rng.uniform(0.5, 8)
        while len(trials) < 20 and not (len(trials) >= 4 and knee(trials).known):
            load = next_load(trials)
            trials.append(Trial(load, rng.random() < 1 / (1 + (load / true_knee) ** 20)))
        found = knee(trials)
        held += found.low <= true_knee <= found.high
    assert held >= 32


def test_a_class_that_a_short_trial_did_not_draw_does_not_make_it_fail() -> None:
    checks = [
        {"name": "goodput", "holds": True},
        {"name": "shot answers", "holds": False},
        {"name": "click answers", "holds": False},
    ]
    asked = {"click": {"offered": 3}, "shot": {"offered": 0}}
    assert misses({"checks": checks, "classes": asked}) == ["click answers"]


def beside(times: float = 1.5, plus_ms: float = 50) -> Scenario:
    """Probes in an idle phase and in a busy one."""
    made = scenario()
    rules = {"idle": "idle", "busy": "busy", "classes": ["probe"], "times": times, "plus_ms": plus_ms}
    timeline = [{"name": name, "seconds": 50, "load": 1} for name in ("idle", "busy")]
    slo = {"goodput": 0.5, "errors": 0, "classes": made.slo.model_dump()["classes"], "beside": rules}
    return scenario(timeline=timeline, slo=slo)


def test_a_busy_phase_may_be_slower_than_the_idle_one_by_its_bound_only() -> None:
    for busy_ms, missed in ((64.0, []), (66.0, ["probe p95 in busy"])):
        answers = [op(at, 10.0 if at < 50 else busy_ms) for at in range(100)]
        assert outcome(recorder(*answers, of=beside()))[1] == missed
    assert outcome(recorder(op(70, 10.0), of=beside()))[1] == ["probe answers in idle"]
    assert outcome(recorder(op(20, 10.0), of=beside()))[1] == ["probe answers in busy"]


def of_catalogue(tenant: int, started: float, kind: str = "catalogue_shot") -> Shot:
    return Shot(f"{kind} {tenant} {started}", kind, tenant, None, created=0.0, started=started, finished=999.0)


def test_only_shots_that_begin_while_every_tenant_waits_are_contested() -> None:
    fair = [of_catalogue(n % 2, float(n)) for n in range(10)]
    assert contested(fair, 2) == [5, 4]  # at the last one the other tenant has nothing left
    alone = [of_catalogue(0, 20.0 + n) for n in range(50)]
    assert contested([*fair, *alone, of_catalogue(1, 5.5, "shot")], 2) == [5, 5]
    assert contested(alone, 2) == [0, 0]


@pytest.mark.parametrize(
    ("counts", "weights", "missed"),
    [
        ((100, 100), (1, 1), []),
        ((90, 110), (1, 1), []),
        ((88, 112), (1, 1), ["share of tenant 1 (weight 1), off by", "share of tenant 2 (weight 1), off by"]),
        ((150, 50), (3, 1), []),
        ((150, 50), (1, 3), ["share of tenant 1 (weight 1), off by", "share of tenant 2 (weight 3), off by"]),
        ((10, 10), (1, 1), ["contested catalogue shots"]),
    ],
)
def test_tenants_share_by_their_weights(
    counts: tuple[int, int], weights: tuple[float, float], missed: list[str]
) -> None:
    slo = scenario().slo.model_dump() | {"shares": {"within": 0.1, "least": 100, "weights": weights}}
    made = recorder(of=scenario(tenants=2, slo=slo))
    places = [(n + 0.5) / count * 100 for count in counts for n in range(count)]
    owners = [tenant for tenant, count in enumerate(counts) for _ in range(count)]
    made.shots = [of_catalogue(tenant, at) for tenant, at in zip(owners, places, strict=True)]
    made.shots += [of_catalogue(tenant, 1000.0) for tenant in range(2)]  # both wait until the end
    assert outcome(made)[1] == missed


def test_parked_rows_must_have_been_there_and_be_gone() -> None:
    made = recorder(of=scenario(slo=scenario().slo.model_dump() | {"parked": True}))
    assert outcome(made, parked_rows=[0.0, 4.0, 0.0])[1] == []
    assert outcome(made, parked_rows=[0.0, 0.0])[1] == ["parked rows"]
    assert outcome(made, parked_rows=[0.0, 4.0])[1] == ["parked rows at the end"]
    assert outcome(made)[1] == ["parked rows", "parked rows at the end"]
