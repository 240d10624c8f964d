"""The traffic model: arrival processes and the schedule of a run. Standard library only.

An arrival process combines a *rate over time* with a *renewal process*. Gaps are drawn at unit rate (constant, Poisson
or gamma), and their cumulated sums are mapped through the inverse of the integrated rate. So a ramp or a daily cycle
keeps the distribution of the gaps exactly. The seed determines the whole schedule in advance; the server has no effect
on it.

    gaps      . .  .   .. .      unit-rate renewal process, cumulated: g1, g1+g2, …
    rate      ▁▂▅▇▅▂▁            phases × the stream's rate
    arrivals  .   . ..... .   .  at = Λ⁻¹(cumulated gaps)
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Literal, Protocol

Gaps = Literal["constant", "poisson", "gamma"]

MAX_SEED = 2**31 - 1
SEEDS_APART = 2048
"""Distance between the seeds of two arrivals. An arrival uses the seeds seed, seed + 1, … of its images, at most 250
SKUs of 8 images each, so the seeds of two arrivals do not overlap."""
_SEEDS = MAX_SEED - SEEDS_APART


class Phase(Protocol):
    """A period of time with a load factor. The rate of a stream is its own rate times this factor."""

    @property
    def seconds(self) -> float:
        """Length of the phase."""

    def load_at(self, t: float) -> float:
        """The factor `t` seconds after the start of the phase."""

    def work(self, t: float) -> float:
        """The factor's integral over the first `t` seconds."""


@dataclass(frozen=True)
class Flat:
    """A constant load."""

    seconds: float
    load: float = 1.0

    def load_at(self, t: float) -> float:
        return self.load

    def work(self, t: float) -> float:
        return self.load * t


@dataclass(frozen=True)
class Ramp:
    """A load that changes linearly from `start` to `end`."""

    seconds: float
    start: float
    end: float

    def load_at(self, t: float) -> float:
        return self.start + (self.end - self.start) * t / self.seconds

    def work(self, t: float) -> float:
        return self.start * t + (self.end - self.start) * t * t / (2 * self.seconds)


@dataclass(frozen=True)
class Diurnal:
    """A daily cycle compressed to `period_s` seconds: a cosine from `low` at midnight to `high` at noon."""

    seconds: float
    low: float
    high: float
    period_s: float

    def load_at(self, t: float) -> float:
        return self._mean - self._swing * math.cos(2 * math.pi * t / self.period_s)

    def work(self, t: float) -> float:
        turn = 2 * math.pi / self.period_s
        return self._mean * t - self._swing * math.sin(turn * t) / turn

    @property
    def _mean(self) -> float:
        return (self.low + self.high) / 2

    @property
    def _swing(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Timeline:
    """The phases of a run, one after the other."""

    phases: tuple[Phase, ...]

    @property
    def seconds(self) -> float:
        """Length of all phases."""
        return sum(phase.seconds for phase in self.phases)

    def load_at(self, t: float) -> float:
        """The load factor at second `t`; 0 outside the timeline."""
        for phase in self.phases:
            if 0 <= t < phase.seconds:
                return phase.load_at(t)
            t -= phase.seconds
        return 0.0

    def work(self, t: float) -> float:
        """The load factor's integral from 0 to `t`."""
        done = 0.0
        for phase in self.phases:
            done += phase.work(min(max(t, 0.0), phase.seconds))
            t -= phase.seconds
        return done


@dataclass(frozen=True)
class Stream:
    """The arrivals of one persona.

    `rate_per_s` is the rate at load 1. `variation` is the coefficient of variation of the gaps (gamma only). `trace`
    holds arrival times in seconds to replay instead; rate, gaps and load do not apply to them. `timeline` is the
    stream's own one; None = that of the run.
    """

    persona: str
    rate_per_s: float = 0.0
    gaps: Gaps = "poisson"
    variation: float = 1.0
    trace: tuple[float, ...] = ()
    timeline: Timeline | None = None


@dataclass(frozen=True, order=True)
class Arrival:
    """One planned arrival, at second `at_s` of the schedule.

    `number` counts the arrivals of the run. `tenant` is the index of its tenant. `seed` determines its random choices
    and its images.
    """

    at_s: float
    number: int
    persona: str
    tenant: int
    seed: int


def gaps(kind: Gaps, variation: float, rng: Random) -> Iterator[float]:
    """Endless gaps of a renewal process of unit rate. `variation` is their coefficient of variation (gamma only)."""
    if kind == "constant":
        while True:
            yield 1.0
    if kind == "poisson":
        while True:
            yield rng.expovariate(1.0)
    shape = 1 / variation**2
    while True:
        yield rng.gammavariate(shape, 1 / shape)


def times(stream: Stream, timeline: Timeline, rng: Random, factor: float = 1.0) -> Iterator[float]:
    """The arrival times of a stream in seconds, ascending. They are computed lazily, so a long run takes no memory.

    `factor` scales the rate; a trace is not scaled.
    """
    if stream.trace:
        yield from (at for at in stream.trace if at < timeline.seconds)
        return
    rate = stream.rate_per_s * factor
    if rate > 0:
        yield from _stretched(stream, timeline, rng, rate)


def _stretched(stream: Stream, timeline: Timeline, rng: Random, rate: float) -> Iterator[float]:
    source = gaps(stream.gaps, stream.variation, rng)
    cumulated = next(source) * (rng.random() if stream.gaps == "constant" else 1.0)
    started_s = begun = 0.0
    for phase in timeline.phases:
        whole = rate * phase.work(phase.seconds)
        while cumulated - begun < whole:
            yield started_s + _when(phase, (cumulated - begun) / rate)
            cumulated += next(source)
        started_s += phase.seconds
        begun += whole


def _when(phase: Phase, work: float) -> float:
    """The second of a phase at which its integrated load reaches `work`, by bisection."""
    low, high = 0.0, phase.seconds
    if isinstance(phase, Flat):
        return work / phase.load
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if phase.work(middle) < work else (low, middle)
    return high


def schedule(
    streams: Sequence[Stream], timeline: Timeline, *, seed: int, tenants: int = 1, factor: float = 1.0
) -> Iterator[Arrival]:
    """Every arrival of a run in order of time. The same arguments give the same schedule on any machine.

    `tenants` is the number of tenants, and `factor` scales every rate.
    """
    sources = []
    for index, stream in enumerate(streams):
        rng = Random(f"{seed}/{index}/{stream.persona}")
        arrivals = times(stream, stream.timeline or timeline, rng, factor)
        sources.append(_named(stream, arrivals, rng, tenants))
    for number, (at_s, persona, tenant) in enumerate(heapq.merge(*sources)):
        yield Arrival(at_s, number, persona, tenant, seed=(seed * 1_000_003 + number * SEEDS_APART) % _SEEDS)


def _named(stream: Stream, arrivals: Iterator[float], rng: Random, tenants: int) -> Iterator[tuple[float, str, int]]:
    pick = Random(rng.random())
    for at_s in arrivals:
        yield at_s, stream.persona, pick.randrange(tenants)


def share_of(arrivals: Iterator[Arrival], index: int, workers: int) -> Iterator[Arrival]:
    """The arrivals that worker `index` of `workers` sends: every `workers`-th, so each covers the whole timeline."""
    return islice(arrivals, index, None, workers)


def read_trace(path: Path) -> tuple[float, ...]:
    """Read arrival times from a file: one number of seconds per line, ascending; `#` begins a comment.

    Raises ValueError when a line is not a number, the times do not ascend, or there is none.
    """
    found: list[float] = []
    for row, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            at_s = float(text)
        except ValueError:
            raise ValueError(f"{path.name}:{row} must be a number of seconds, got {text[:40]!r}") from None
        if not (math.isfinite(at_s) and at_s >= (found[-1] if found else 0.0)):
            raise ValueError(f"{path.name}:{row}: times must be ≥ 0 and ascend, got {at_s:g}")
        found.append(at_s)
    if not found:
        raise ValueError(f"{path.name} must hold at least one time, got none")
    return tuple(found)
