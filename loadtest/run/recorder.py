"""What a run answered, added up as it comes: histograms for the truth, coarse bins for the plots. Memory stays flat.

Latencies are milliseconds from the intended send time. Each class has one HdrHistogram (three significant digits) over
what is judged, that is after the warm-up; failures count with the time they took, answers never asked for only as
failures.
"""

from __future__ import annotations

import math
from bisect import bisect_left
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
"""Bins of a window's coarse histogram: 4 % wide."""
KEPT_FAILURES = 50


class Window:
    """A slice of time, by intended send time: counts, and a coarse histogram of latencies."""

    __slots__ = ("bins", "good", "offered", "right", "stages")

    def __init__(self) -> None:
        self.offered = self.good = self.right = 0
        self.bins: Counter[int] = Counter()
        self.stages: defaultdict[str, float] = defaultdict(float)

    def add(self, ms: float | None, right: bool, good: bool) -> None:
        self.offered += 1
        self.right += right
        self.good += good
        if ms is not None:
            self.bins[round(math.log2(max(ms, 0.01)) * PER_DOUBLING)] += 1

    def percentile(self, share: float) -> float | None:
        """Milliseconds, to 4 %; None for an empty window."""
        wanted, passed = share * sum(self.bins.values()), 0
        for place in sorted(self.bins):
            passed += self.bins[place]
            if passed >= wanted:
                return float(2 ** (place / PER_DOUBLING))
        return None


@dataclass
class ClassRecord:
    """One class of answers, after the warm-up."""

    histogram: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, HIGHEST_US, 3))
    offered: int = 0
    right: int = 0
    good: int = 0
    retries: int = 0
    why: Counter[str] = field(default_factory=Counter)
    stages_ms: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    staged: int = 0
    windows: list[Window] = field(default_factory=lambda: [Window() for _ in range(WINDOWS)])

    def percentile_ms(self, percent: float) -> float:
        return float(self.histogram.get_value_at_percentile(percent)) / 1000


@dataclass(frozen=True)
class Shot:
    """A finished shot of the run. Times are the server's, seconds."""

    id: str
    tenant: int
    position: int | None
    created: float
    started: float
    finished: float


class Recorder:
    """A run's records. Feed it records in any order."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.classes = {name: ClassRecord() for name in scenario.classes}
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
        self._rng = Random(f"sample/{scenario.seed}")

    def feed(self, record: Record) -> bool:
        """Add one record; False for the last."""
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
            row.histogram.record_value(min(HIGHEST_US, max(1, round(ms * 1000))))
        if record["st"]:
            row.staged += 1
            for stage, spent_ms in record["st"].items():
                row.stages_ms[stage] += spent_ms
        if not right:
            row.why[record["why"] or "double"] += 1
            if len(self.failures) < KEPT_FAILURES:
                self.failures.append({key: record[key] for key in ("c", "at", "ms", "why")})

    def _shot(self, record: Record) -> bool:
        """Keep a shot for the checks after the run; False when one of its images was somebody's before."""
        created, started, finished = record["times"]
        self.shots.append(Shot(record["shot"], record["t"], record.get("position"), created, started, finished))
        images = {url for url, _ in record["pictures"]}
        double = bool(images & self._seen_images)
        self._seen_images |= images
        self.doubles += double
        size, seen = self.scenario.sample, len(self.shots)
        if len(self.sample) < size:
            self.sample.append(record)
        elif size and (place := self._rng.randrange(seen)) < size:
            self.sample[place] = record  # a reservoir: every shot is as likely to be in the sample
        return not double

    def lag_percentile_ms(self, share: float) -> float:
        """Of the generator's own delays: the upper end of the step that holds the percentile."""
        wanted, passed = share * sum(self.lags), 0
        for count, step in zip(self.lags, LAG_STEPS_MS, strict=True):
            passed += count
            if passed >= wanted:
                return step
        return 0.0

    def place_errors(self) -> list[int]:
        """Of every shot that was told its place: how far that was from the number that really went before it.

        Went before: accepted earlier, not begun when this one was accepted, begun before it. What came later and
        overtook (interactive before catalogue) is no lie; what others than this run sent is not seen.
        """
        return place_errors(self.shots)


def place_errors(shots: Sequence[Shot]) -> list[int]:
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


def histogram_json(histogram: HdrHistogram) -> dict[str, Any]:
    """An HdrHistogram as its standard compressed encoding, for `loadtest compare` and other tools."""
    return {"count": histogram.get_total_count(), "encoded": histogram.encode().decode(), "unit": "µs"}


def share_within(errors: Sequence[int], within: int) -> float:
    """The share of errors of at most `within`; 1 for none."""
    return bisect_left(sorted(errors), within + 1) / len(errors) if errors else 1.0
