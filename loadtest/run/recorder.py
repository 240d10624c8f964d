"""Adds up the records of a run as they are read, in constant memory: histograms for the verdict, bins for the plots.

Latencies are milliseconds from the intended send time. Each class has one HdrHistogram (three significant digits) of
the answers after the warm-up, which are those that are judged. A failed operation enters it with the time that it took;
an operation that was never sent counts as a failure, but has no latency.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hdrh.histogram import HdrHistogram

from loadtest.scenarios.scenario import Scenario

Record = dict[str, Any]

WINDOWS = 60
HIGHEST_US = 3_600_000_000
LAG_STEPS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 3_600_000)
"""Upper ends of the steps in which a generator counts its own delays (locustfile.Lags)."""
PER_DOUBLING = 16
"""Bins per factor of two in a window's coarse histogram; each is 4 % wide."""
KEPT_FAILURES = 50


class Window:
    """The answers of one time window, by intended send time: counts, and a coarse histogram of latencies."""

    __slots__ = ("bins", "good", "offered", "right", "stages")

    def __init__(self) -> None:
        self.offered = self.good = self.right = 0
        self.bins: Counter[int] = Counter()
        self.stages: defaultdict[str, float] = defaultdict(float)

    def add(self, ms: float | None, right: bool, good: bool) -> None:
        """Count one answer. `ms` is its latency, or None when it was never sent."""
        self.offered += 1
        self.right += right
        self.good += good
        if ms is not None:
            self.bins[round(math.log2(max(ms, 0.01)) * PER_DOUBLING)] += 1

    def percentile(self, share: float) -> float | None:
        """The latency percentile (`share`, such as 0.99) in milliseconds, to 4 %; None for an empty window."""
        wanted, passed = share * sum(self.bins.values()), 0
        for place in sorted(self.bins):
            passed += self.bins[place]
            if passed >= wanted:
                return float(2 ** (place / PER_DOUBLING))
        return None


@dataclass
class ClassRecord:
    """One class of answers: its totals after the warm-up, and its windows over the whole run."""

    histogram: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, HIGHEST_US, 3))
    offered: int = 0
    right: int = 0
    good: int = 0
    retries: int = 0
    why: Counter[str] = field(default_factory=Counter)
    stages_ms: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    staged: int = 0
    phases: dict[str, HdrHistogram] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=lambda: [Window() for _ in range(WINDOWS)])

    def percentile_ms(self, percent: float) -> float:
        """A latency percentile (`percent`, such as 99) in milliseconds."""
        return float(self.histogram.get_value_at_percentile(percent)) / 1000

    def percentile_in_ms(self, phase: str, percent: float) -> float | None:
        """The same of one of the scenario's compared phases; None when it has no answer of this class."""
        histogram = self.phases[phase]
        return float(histogram.get_value_at_percentile(percent)) / 1000 if histogram.get_total_count() else None


@dataclass(frozen=True)
class Shot:
    """A finished shot, touch-up or clip of the run. `kind` is its class of answers.

    The times are by the server's clock, in Unix seconds. `position` is the queue position that the server reported;
    None when it reported none.
    """

    id: str
    kind: str
    tenant: int
    position: int | None
    created: float
    started: float
    finished: float


class Recorder:
    """The records of a run, added up. They may be fed in any order."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        compared = scenario.slo.phases
        self.classes = {
            name: ClassRecord(phases={phase: HdrHistogram(1, HIGHEST_US, 3) for phase in compared})
            for name in scenario.classes
        }
        self.shots: list[Shot] = []
        self.sample: list[Record] = []
        self.failures: list[Record] = []
        self.lags = [0] * len(LAG_STEPS_MS)
        self.generator: list[Record] = []
        self.attacks: Counter[str] = Counter()
        self.strangers = self.strangers_let_in = 0
        self.doubles = 0
        self.sent = 0
        self.first_sent = math.inf
        self.last_sent = -math.inf
        self.epoch = 0.0
        self.bad_at: list[float] = []
        self._seen_images: set[str] = set()
        self._comparable = 0
        self._rng = Random(f"sample/{scenario.seed}")

    def feed(self, record: Record) -> bool:
        """Add one record. Returns False for the last one."""
        match record["k"]:
            case "op":
                self._answered(record)
            case "gen":
                self.lags = [old + new for old, new in zip(self.lags, record.pop("lags_ms"), strict=True)]
                self.generator.append(record)
            case "attack":
                self.attacks[record["name"]] += 1
            case "stranger":
                self.strangers += 1
                self.strangers_let_in += not record["ok"]
            case "sent":
                self.sent += record["count"]
            case "start":
                self.epoch = record["epoch"]
            case "end":
                return False
        return True

    def window_of(self, at_s: float) -> int:
        """The index of the window that holds second `at_s`."""
        return min(WINDOWS - 1, max(0, int(at_s / self.scenario.seconds * WINDOWS)))

    def _answered(self, record: Record) -> None:
        name, at_s, ms, right = record["c"], record["at"], record["ms"], record["ok"]
        if record["sent"] is not None:
            self.first_sent, self.last_sent = min(self.first_sent, record["sent"]), max(self.last_sent, record["sent"])
        row = self.classes[name]
        if "shot" in record:
            right = self._shot(record) and right
        good = right and ms <= self.scenario.slo.classes[name].p99_ms
        if not good:
            self.bad_at.append(at_s)
        window = row.windows[self.window_of(at_s)]
        window.add(ms, right, good)
        for stage, spent_ms in record["st"].items():
            window.stages[stage] += spent_ms
        if at_s < self.scenario.warm_up_s:
            return
        row.offered += 1
        row.right += right
        row.good += good
        row.retries += record.get("retries", 0)
        if ms is not None:
            spent_us = min(HIGHEST_US, max(1, round(ms * 1000)))
            row.histogram.record_value(spent_us)
            if (histogram := row.phases.get(self.scenario.phase_at(at_s))) is not None:
                histogram.record_value(spent_us)
        if record["st"]:
            row.staged += 1
            for stage, spent_ms in record["st"].items():
                row.stages_ms[stage] += spent_ms
        if not right:
            row.why[record["why"] or "double"] += 1
            if len(self.failures) < KEPT_FAILURES:
                self.failures.append({key: record[key] for key in ("c", "at", "ms", "why")})

    def _shot(self, record: Record) -> bool:
        """Keep a shot for the checks after the run. False when another shot already had one of its images.

        Only a record with its `request` can be rendered again: touch-ups and clips are not sampled.
        """
        created, started, finished = record["times"]
        position = record.get("position")
        self.shots.append(Shot(record["shot"], record["c"], record["t"], position, created, started, finished))
        images = {url for url, _ in record["pictures"]}
        double = bool(images & self._seen_images)
        self._seen_images |= images
        self.doubles += double
        if "request" not in record:
            return not double
        self._comparable += 1
        size = self.scenario.sample
        if len(self.sample) < size:
            self.sample.append(record)
        elif size and (place := self._rng.randrange(self._comparable)) < size:
            self.sample[place] = record  # reservoir sampling: every shot has the same chance to be in the sample
        return not double

    def lag_percentile_ms(self, share: float) -> float:
        """A percentile of the generator's own delays, milliseconds: the upper end of the step that holds it."""
        wanted, passed = share * sum(self.lags), 0
        for count, step in zip(self.lags, LAG_STEPS_MS, strict=True):
            passed += count
            if passed >= wanted:
                return step
        return 0.0

    def place_errors(self) -> list[int]:
        """The error of each reported queue position: its distance to the number of shots that really went before.

        A shot went before when it was accepted earlier, was still waiting when this one was accepted, and started
        before it. Shots that were accepted later and overtook (interactive before catalogue) do not count. Shots that
        this run did not send are unknown.
        """
        return place_errors(self.shots)


def place_errors(shots: Sequence[Shot]) -> list[int]:
    """The errors of the reported queue positions (see Recorder.place_errors)."""
    by_creation = sorted(shots, key=lambda shot: shot.created)
    errors: list[int] = []
    waiting: list[Shot] = []
    for shot in by_creation:
        waiting = [other for other in waiting if other.started > shot.created]
        if shot.position is not None:
            before = sum(other.started < shot.started for other in waiting)
            errors.append(abs(shot.position - before))
        waiting.append(shot)
    return errors


def contested(shots: Sequence[Shot], tenants: int) -> list[int]:
    """How many catalogue shots of each tenant began while every tenant had a catalogue shot that waited."""
    ours = sorted((shot for shot in shots if shot.kind == "catalogue_shot"), key=lambda shot: shot.started)
    created = [sorted(shot.created for shot in ours if shot.tenant == tenant) for tenant in range(tenants)]
    begun, counts = [0] * tenants, [0] * tenants
    for shot in ours:
        if all(bisect_right(created[tenant], shot.started) > begun[tenant] for tenant in range(tenants)):
            counts[shot.tenant] += 1
        begun[shot.tenant] += 1
    return counts


def histogram_json(histogram: HdrHistogram) -> dict[str, Any]:
    """An HdrHistogram in its standard compressed encoding, for `loadtest compare` and other tools."""
    return {"count": histogram.get_total_count(), "encoded": histogram.encode().decode(), "unit": "µs"}


def share_within(errors: Sequence[int], within: int) -> float:
    """The share of errors that are at most `within`; 1 when there are none."""
    return bisect_left(sorted(errors), within + 1) / len(errors) if errors else 1.0
