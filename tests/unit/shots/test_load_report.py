"""The directors' report: arrivals over both windows, within a bounded share of the store's time."""

from __future__ import annotations

import pytest

from packshot.shots import load_report
from packshot.shots.load_report import LoadReport
from packshot.store.load_records import Flow, QueueLoad
from packshot.store.load_records import Load as StoreWork


def test_the_report_counts_arrivals_over_both_windows() -> None:
    now = 0.0
    came = [0, 0, 30, 0]

    class Arriving:
        def load(self, since_seq: int | None = None) -> QueueLoad:
            count = came.pop(0)
            return QueueLoad(0, Flow(arrived=StoreWork(count, count, 20 * count)), Flow())

    report = LoadReport(Arriving(), clock=lambda: now)
    report()
    now = 200.0
    report()
    now = 210.0
    described = report()
    assert (described["interactive_fast_shots"], described["interactive_slow_shots"]) == (30 / 15, 30 / 120)
    now = 230.0
    assert report()["interactive_fast_shots"] == 0


def test_a_store_that_takes_long_to_count_is_asked_less_often() -> None:
    now, asked = 0.0, []

    class Slow:
        def load(self, since_seq: int | None = None) -> QueueLoad:
            nonlocal now
            asked.append(now)
            now += 0.5
            return QueueLoad(0, Flow(), Flow())

    report = LoadReport(Slow(), clock=lambda: now)
    for _ in range(20):
        report()
        now += 2.0
    assert asked[1] - asked[0] == pytest.approx(0.5 + 0.5 / load_report.QUERY_SHARE, abs=2.0)
