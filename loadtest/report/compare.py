"""`loadtest compare A B`: the differences between two runs, and whether they are statistically significant.

The confidence interval of a percentile comes from the order statistics around it (95 %, distribution-free), so no
repeated runs are needed. B is worse when its interval lies wholly above A's and its value exceeds A's by more than
TOLERANCE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

Summary = dict[str, Any]

TOLERANCE = 0.1
"""Relative change of a percentile below which two runs count as the same."""
Z = 1.96
"""Standard deviations of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Difference:
    """One figure of two runs, before and after, in `unit`. `verdict` is worse, better or same."""

    name: str
    before: float
    after: float
    unit: str
    verdict: str

    @property
    def change(self) -> float:
        """The relative change from before to after; 0 when the figure was 0 before."""
        return self.after / self.before - 1 if self.before else 0.0


def compare(before: Summary, after: Summary) -> list[Difference]:
    """Compare every figure that both runs have. Raises ValueError when their scenarios or load factors differ."""
    if before["digest"] != after["digest"] or before["factor"] != after["factor"]:
        raise ValueError(
            f"both runs must be of the same scenario at the same load, got {before['name']} {before['digest']} "
            f"×{before['factor']:g} "
            f"and {after['name']} {after['digest']} ×{after['factor']:g}"
        )
    found = [
        _share("goodput", before, after, "good", up=True),
        _share("right answers", before, after, "right", up=True),
    ]
    for name in before["classes"]:
        histograms = [HdrHistogram.decode(side["classes"][name]["histogram"]["encoded"]) for side in (before, after)]
        if all(histogram.get_total_count() for histogram in histograms):
            found += [
                _percentile(f"{name} p{percent}", histograms[0], histograms[1], percent) for percent in (50, 95, 99)
            ]
    return found


def interval_ms(histogram: HdrHistogram, percent: float) -> tuple[float, float]:
    """The 95 % confidence interval of a percentile, milliseconds.

    Its ends are the values whose ranks lie Z binomial standard deviations below and above the percentile's rank.
    """
    count, share = histogram.get_total_count(), percent / 100
    reach = Z * math.sqrt(count * share * (1 - share))
    low, high = ((count * share + side * reach) / count * 100 for side in (-1, 1))
    return (
        histogram.get_value_at_percentile(max(0.0, low)) / 1000,
        histogram.get_value_at_percentile(min(100.0, high)) / 1000,
    )


def _percentile(name: str, before: HdrHistogram, after: HdrHistogram, percent: float) -> Difference:
    a, b = (histogram.get_value_at_percentile(percent) / 1000 for histogram in (before, after))
    (a_low, a_high), (b_low, b_high) = interval_ms(before, percent), interval_ms(after, percent)
    worse = b_low > a_high and b > a * (1 + TOLERANCE)
    better = b_high < a_low and b < a / (1 + TOLERANCE)
    return Difference(name, a, b, "ms", "worse" if worse else "better" if better else "same")


def _share(name: str, before: Summary, after: Summary, key: str, *, up: bool) -> Difference:
    """Compare a share of answers. The shares differ when they are Z standard deviations apart (binomial)."""
    sides = []
    for side in (before, after):
        offered = sum(row["offered"] for row in side["classes"].values())
        share = sum(row[key] for row in side["classes"].values()) / max(1, offered)
        sides.append((share, math.sqrt(max(share * (1 - share), 1 / max(1, offered)) / max(1, offered))))
    (a, a_dev), (b, b_dev) = sides
    apart = abs(b - a) > Z * math.hypot(a_dev, b_dev)
    return Difference(name, a, b, "", "same" if not apart else "better" if (b > a) == up else "worse")
