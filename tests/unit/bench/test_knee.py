"""The knee on paper."""

from __future__ import annotations

import pytest

from bench import knee as bench
from bench.knee import predicted, within
from cluster.simulate.stages import Machine
from loadtest.capacity.trial import flat
from loadtest.scenarios.scenario import Scenario, load_scenario


@pytest.fixture
def shape() -> Scenario:
    return flat(load_scenario("orders"), 30.0)


def machine(step_s: float) -> Machine:
    return Machine(
        "laptop",
        step_s / 2,
        step_s / 16,
        8,
        begin_s=0.05,
        decode_s=0.05,
        edges_s=0.0,
        layout_s=0.1,
        finish_s=0.1,
        director_holds=6,
    )


def test_the_knee_on_paper_lies_where_the_generator_is_full(shape: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SEEDS", 1)
    for step_s in (0.1, 0.2):
        full = 1 / (machine(step_s).picture_s(8) * 0.25)
        assert 0.7 * full < predicted(machine(step_s), shape).load < 1.5 * full


@pytest.mark.parametrize(
    ("took_ms", "holds"),
    [
        ([1000.0] * 20, True),
        ([4000.0] * 20, False),
        ([1000.0] * 17 + [9000.0] * 3, False),
        ([1000] * 9 + [11e3], False),
    ],
)
def test_a_trial_on_paper_is_judged_by_the_scenarios_bounds(shape: Scenario, took_ms: list[float], holds: bool) -> None:
    assert within(took_ms, shape) is holds
