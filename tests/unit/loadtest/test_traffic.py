"""Arrivals: the processes are what they are called, and the same seed gives the same schedule."""

import ast
import itertools
import math
import sys
from pathlib import Path
from random import Random

import pytest
from scipy import stats

import loadtest.scenarios.traffic
from loadtest.scenarios.traffic import Diurnal, Flat, Ramp, Stream, Timeline, read_trace, schedule, share_of, times

SALE = Timeline((Flat(100, 1.0), Ramp(50, 1.0, 5.0), Flat(50, 5.0), Diurnal(200, 0.2, 2.0, 100)))


def arrivals(stream: Stream, timeline: Timeline = SALE, seed: int = 0, factor: float = 1.0) -> list[float]:
    return list(times(stream, timeline, Random(seed), factor))


def rescaled_gaps(at: list[float], timeline: Timeline, rate: float) -> list[float]:
    """Gaps in units of expected arrivals: of a Poisson process of any rate they are exponential with mean 1."""
    work = [0.0, *(rate * timeline.work(t) for t in at)]
    return [after - before for before, after in itertools.pairwise(work)]


@pytest.mark.parametrize("timeline", [Timeline((Flat(500, 1.0),)), SALE])
def test_poisson_arrivals_pass_a_kolmogorov_smirnov_test(timeline: Timeline) -> None:
    """Over ten seeds no p-value may be tiny: what is really exponential fails this once in 10,000 times;
    the seeds are fixed."""
    found = [
        stats.kstest(rescaled_gaps(arrivals(Stream("probe", 5.0), timeline, seed), timeline, 5.0), "expon").pvalue
        for seed in range(10)
    ]
    assert min(found) > 1e-5
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_constant_and_bursty_arrivals_are_told_from_poisson_by_the_same_test() -> None:
    flat = Timeline((Flat(500, 1.0),))
    for stream in (Stream("probe", 5.0, "constant"), Stream("probe", 5.0, "gamma", variation=2.0)):
        assert stats.kstest(rescaled_gaps(arrivals(stream, flat), flat, 5.0), "expon").pvalue < 1e-6


@pytest.mark.parametrize("variation", [0.5, 1.0, 2.0])
def test_gamma_gaps_have_the_variation_that_was_asked_for(variation: float) -> None:
    at = arrivals(Stream("probe", 20.0, "gamma", variation), Timeline((Flat(1000, 1.0),)))
    gaps = [after - before for before, after in itertools.pairwise(at)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert deviation / mean == pytest.approx(variation, rel=0.05)


def test_constant_arrivals_follow_the_rate_exactly() -> None:
    at = arrivals(Stream("probe", 4.0, "constant"))
    for second in (50, 100, 125, 150, 200, 250, 300, 400):
        assert abs(sum(t < second for t in at) - 4.0 * SALE.work(second)) <= 1
    assert at == sorted(at)


@pytest.mark.parametrize("phase", [Flat(40, 2.0), Ramp(40, 0.5, 3.0), Diurnal(40, 0.2, 2.0, 25)])
def test_a_phases_work_is_the_integral_of_its_load(phase: Diurnal | Flat | Ramp) -> None:
    parts = 20_000
    summed = sum(phase.load_at((part + 0.5) * 30 / parts) for part in range(parts)) * 30 / parts
    assert phase.work(30) == pytest.approx(summed, rel=1e-6)


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    streams = [Stream("designer", 0.5), Stream("probe", 3.0, "gamma", 2.0)]
    first, again, other = (list(schedule(streams, SALE, seed=seed, tenants=3)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert [arrival.number for arrival in first] == list(range(len(first)))
    assert {arrival.tenant for arrival in first} == {0, 1, 2}
    assert first == sorted(first)


def test_the_schedule_of_a_seed_never_changes() -> None:
    """Written down once: reports of different versions compare only while this holds."""
    drawn = list(schedule([Stream("probe", 2.0)], Timeline((Flat(3, 1.0),)), seed=1))
    assert [round(arrival.at_s, 6) for arrival in drawn] == FIRST_TIMES


FIRST_TIMES = [0.341158, 0.467143, 1.509547, 1.763524, 2.305905]


def test_arrivals_never_share_a_seed() -> None:
    drawn = list(schedule([Stream("catalogue", 50.0)], Timeline((Flat(100, 1.0),)), seed=9))
    seeds = sorted(arrival.seed for arrival in drawn)
    assert min(after - before for before, after in itertools.pairwise(seeds)) >= 2000


def test_workers_share_a_schedule_without_loss() -> None:
    whole = list(schedule([Stream("probe", 9.0)], SALE, seed=3))
    parts = [list(share_of(iter(whole), index, 4)) for index in range(4)]
    assert sorted(itertools.chain(*parts)) == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_factor_scales_the_rate_and_leaves_a_trace_alone() -> None:
    assert len(arrivals(Stream("probe", 4.0, "constant"), factor=2.0)) == pytest.approx(8 * SALE.work(400), abs=1)
    assert arrivals(Stream("probe", trace=(0.0, 1.5, 1.5, 999.0)), factor=2.0) == [0.0, 1.5, 1.5]


def test_a_trace_is_read_with_comments_and_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "monday.txt"
    file.write_text("# recorded\n0\n1.25  # burst\n\n1.25\n")
    assert read_trace(file) == (0.0, 1.25, 1.25)
    for text, rule in (
        ("1\n0.5\n", ":2: times must"),
        ("x\n", ":1 must be"),
        ("nan\n", "times must"),
        ("#\n", "at least one"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=rule):
            read_trace(file)


def test_traffic_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(loadtest.scenarios.traffic.__file__).read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names, name
