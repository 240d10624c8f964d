"""The verdict of a run: pure functions from its records to checks, each with its bound and its value.

A run `holds` when every bound of the scenario holds. It is `invalid` when the generator did not keep its schedule; such
a run does not measure the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from loadtest.run.recorder import Recorder, contested, share_within
from loadtest.scenarios.scenario import Scenario

LAG_SHARE = 0.05
"""Largest p99 of the generator's own delay, as a share of the tightest latency bound."""
LEAST_LAG_MS = 10.0
"""A p99 of the generator's own delay up to this is always allowed."""
MOST_CPU = 0.9
"""A second in which a generator process used more than this share of a core counts as busy."""
BUSY_SHARE = 0.05
"""Largest share of busy seconds in a valid run."""
RATE_SHARE = 0.005
"""Largest share of planned arrivals that a valid run may fail to send."""

Outcome = Literal["holds", "fails", "invalid"]
EXIT_CODES: dict[Outcome, int] = {"holds": 0, "fails": 1, "invalid": 3}


@dataclass(frozen=True)
class Check:
    """A value and its bound.

    `value` and `bound` are in `unit`, which is empty for counts and shares. The bound is a minimum when `at_least` is
    True, and a maximum otherwise.
    """

    name: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "bound": self.bound,
            "unit": self.unit,
            "at_least": self.at_least,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Verdict:
    """The checks of a run: `checks` of the server against the scenario's bounds, `validity` of the generator itself."""

    checks: tuple[Check, ...]
    validity: tuple[Check, ...]

    @property
    def outcome(self) -> Outcome:
        if not all(check.holds for check in self.validity):
            return "invalid"
        return "holds" if all(check.holds for check in self.checks) else "fails"


def judge(
    scenario: Scenario,
    recorder: Recorder,
    *,
    planned: int,
    wrong_pictures: int = 0,
    recoveries_s: Sequence[float] = (),
    parked_rows: Sequence[float] = (),
) -> Verdict:
    """Check the records against every bound of the scenario.

    `planned` is the number of arrivals in the schedule. `wrong_pictures` is the number of failed checks of the pictures
    that were compared after the run. `recoveries_s` holds the recovery time of each fault in seconds, and `parked_rows`
    the readings of the server's gauge of parked rows, in order.
    """
    slo = scenario.slo
    offered = sum(row.offered for row in recorder.classes.values())
    wrong = offered - sum(row.right for row in recorder.classes.values())
    good = sum(row.good for row in recorder.classes.values())
    checks = [
        Check("goodput", good / offered if offered else 0.0, slo.goodput, at_least=True),
        Check("errors", wrong / offered if offered else 1.0, slo.errors),
    ]
    for name, bounds in slo.classes.items():
        row = recorder.classes[name]
        for percent, bound in ((50, bounds.p50_ms), (95, bounds.p95_ms), (99, bounds.p99_ms)):
            checks.append(Check(f"{name} p{percent}", row.percentile_ms(percent), bound, "ms"))
        if not row.histogram.get_total_count():
            checks.append(Check(f"{name} answers", 0, 1, at_least=True))
    if slo.queue_place is not None:
        share = share_within(recorder.place_errors(), slo.queue_place.within)
        checks.append(
            Check(f"queue places within {slo.queue_place.within}", share, slo.queue_place.share, at_least=True)
        )
    if slo.recovery_s is not None:
        checks += [
            Check(f"recovery {index}", taken, slo.recovery_s, "s") for index, taken in enumerate(recoveries_s, 1)
        ]
    checks += [*_beside(scenario, recorder), *_shares(scenario, recorder)]
    if slo.parked:
        checks.append(Check("parked rows", max(parked_rows, default=0.0), 1, at_least=True))
        checks.append(Check("parked rows at the end", parked_rows[-1] if parked_rows else 1, 0))
    checks += [
        Check("somebody else's answers", recorder.strangers_let_in + recorder.doubles, 0),
        Check("wrong pictures", wrong_pictures, 0),
    ]
    return Verdict(tuple(checks), tuple(_validity(scenario, recorder, planned)))


def _beside(scenario: Scenario, recorder: Recorder) -> Iterator[Check]:
    """The p95 of the busy phase against that of the idle one. A class without an answer in one of them misses it."""
    beside = scenario.slo.beside
    for name in beside.classes if beside else ():
        assert beside is not None, "it has classes"
        row = recorder.classes[name]
        idle_ms, busy_ms = (row.percentile_in_ms(phase, 95) for phase in (beside.idle, beside.busy))
        if idle_ms is None or busy_ms is None:
            yield Check(f"{name} answers in {beside.idle if idle_ms is None else beside.busy}", 0, 1, at_least=True)
        else:
            bound_ms = round(beside.times * idle_ms + beside.plus_ms, 1)
            yield Check(f"{name} p95 in {beside.busy}", busy_ms, bound_ms, "ms")


def _shares(scenario: Scenario, recorder: Recorder) -> Iterator[Check]:
    """Each tenant's share of the contested catalogue shots: how far it is off that of its weight."""
    shares = scenario.slo.shares
    if shares is None:
        return
    counts = contested(recorder.shots, scenario.tenants)
    yield Check("contested catalogue shots", sum(counts), shares.least, at_least=True)
    for number, (count, weight) in enumerate(zip(counts, shares.weights, strict=True), 1):
        due = sum(counts) * weight / sum(shares.weights)
        off = abs(count - due) / due if due else 1.0
        yield Check(f"share of tenant {number} (weight {weight:g}), off by", off, shares.within)


def allowed_lag_ms(scenario: Scenario) -> float:
    """The largest p99 of the generator's own delay in a valid run, milliseconds."""
    tightest = min(bounds.p99_ms for bounds in scenario.slo.classes.values())
    return max(LEAST_LAG_MS, LAG_SHARE * tightest)


def _validity(scenario: Scenario, recorder: Recorder, planned: int) -> list[Check]:
    seconds = [row["cpu"] for row in recorder.generator]
    busy = sum(cpu > MOST_CPU for cpu in seconds) / len(seconds) if seconds else 0.0
    return [
        Check("arrivals sent", recorder.sent / planned if planned else 0.0, 1 - RATE_SHARE, at_least=True),
        Check("generator lag p99", recorder.lag_percentile_ms(0.99), allowed_lag_ms(scenario), "ms"),
        Check("generator busy seconds", busy, BUSY_SHARE),
    ]
