"""The search for the knee: trials at one load each, kept on disk, ended by a generator that could not keep up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from loadtest.capacity import trial
from loadtest.capacity.knee import Trial, knee
from loadtest.capacity.trial import Bottleneck, search
from loadtest.run.runner import Target
from loadtest.scenarios.scenario import Scenario, load_scenario

KNEE = 5.0


@pytest.fixture
def took() -> list[float]:
    """Shares of the processor that the host takes in the next trials; none after that."""
    return []


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, took: list[float]) -> list[float]:
    """Loads that were tried, of a server that holds up to KNEE."""
    loads: list[float] = []

    def run(scenario: Scenario, target: Target, folder: Path, *, factor: float, **options: object) -> dict[str, Any]:
        loads.append(factor)
        check = {"name": "api_shot p95", "holds": factor <= KNEE, "value": 1.0, "unit": "ms"}
        return {
            "outcome": "invalid" if factor > 100 else "holds",
            "validity": [{"name": "delays above 50 ms", "holds": False, "value": 1.2, "unit": "%"}],
            "checks": [check],
            "classes": {"api_shot": {"offered": 9}},
            "shots_per_s": {"offered": factor},
            "generator": {"host_took": took.pop(0) if took else 0.0},
        }

    monkeypatch.setattr(trial, "run", run)
    monkeypatch.setattr(trial, "queued", lambda host, key: 0.0)
    return loads


def sought(folder: Path, most: int = 30) -> tuple[Sequence[Trial], list[tuple[float, bool, list[str]]]]:
    report: list[tuple[float, bool, list[str]]] = []
    seen = search(
        load_scenario("orders"),
        Target("http://127.0.0.1:1"),
        folder,
        trial_s=30,
        most=most,
        watched=lambda _: nullcontext(lambda recorder, at_s: None),
        report=lambda row, believed: report.append((row["load"], row["holds"], row["misses"])),
    )
    return seen, report


def test_the_search_ends_near_the_knee(tmp_path: Path, ran: list[float]) -> None:
    seen, report = sought(tmp_path)
    found = knee(seen)
    assert found.known
    assert KNEE / 1.2 < found.load < KNEE * 1.2
    assert len(report) == len(seen) == len(ran)
    assert (8.0, False, ["api_shot p95"]) in report


def test_what_was_tried_is_not_tried_again(tmp_path: Path, ran: list[float]) -> None:
    sought(tmp_path, most=3)
    seen, report = sought(tmp_path, most=5)
    assert ran[:3] == [1.0, 2.0, 4.0]
    assert len(seen) == len(ran) == 5
    assert len(report) == 2


def test_a_trial_in_which_the_host_took_the_cores_is_made_again(
    tmp_path: Path, ran: list[float], took: list[float]
) -> None:
    took += [0.3, 0.2]
    seen, report = sought(tmp_path, most=2)
    assert ran == [1.0, 1.0, 1.0, 2.0]
    assert [one.load for one in seen] == [1.0, 2.0]
    assert len(report) == 4
    seen, _ = sought(tmp_path, most=2)
    assert len(seen) == 2


def test_on_a_host_that_always_takes_cores_trials_count_in_the_end(
    tmp_path: Path, ran: list[float], took: list[float]
) -> None:
    took += [0.3] * 30
    seen, report = sought(tmp_path, most=3)
    assert len(seen) == 3
    assert len(report) == 3 + trial.MAX_DISTURBED


def test_a_trial_is_told_in_words() -> None:
    row = {"holds": False, "misses": ["goodput", "api_shot p99"], "counts": True, "host_took": 0.01}
    assert trial.trial_words(row) == "fails (goodput, api_shot p99)"
    assert trial.trial_words(row | {"holds": True}) == "holds"
    disturbed = row | {"holds": True, "counts": False, "host_took": 0.31}
    assert trial.trial_words(disturbed) == "holds, does not count: CPU steal was 31%"


def test_a_generator_that_could_not_keep_up_ends_the_search(
    tmp_path: Path, ran: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "next_load", lambda seen: 101.0)
    with pytest.raises(Bottleneck, match=r"×101: invalid.*delays above 50 ms 1.2 %"):
        sought(tmp_path)


def test_a_trial_begins_when_the_line_of_the_one_before_is_gone(
    tmp_path: Path, ran: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [3.0, 1.0, 0.0]
    slept: list[float] = []
    monkeypatch.setattr(trial, "queued", lambda host, key: waiting.pop(0))
    monkeypatch.setattr("loadtest.capacity.trial.time.sleep", slept.append)
    sought(tmp_path, most=1)
    assert ran == [1.0]
    assert len(slept) == 2
    assert not waiting
