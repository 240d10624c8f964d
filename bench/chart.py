"""A chart of the rows: the distance of each ratio to its target. Bars to the right hold, bars to the left miss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

HOLDS, MISSES, SPREAD = "#2a7f62", "#c1442e", "#333333"
FAR = 16.0
"""The axis ends at this factor on both sides, because an error of 0 is infinitely better than its bound."""


def margin(line: dict[str, Any], ratio: float) -> float:
    """How many times better than the target a ratio is: 1 on the target, 2 when twice as good. Clipped to the axis."""
    target = float(line["target"])
    times = ratio / target if line["at_least"] else target / max(ratio, 1e-9)
    return min(FAR, max(1 / FAR, times))


def draw(lines: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw one bar for each row with a ratio, from the target (1×) to the median, and a line for the spread."""
    shown = [line for line in lines if "ratio" in line][::-1]
    figure, axes = pyplot.subplots(figsize=(12, 1.2 + 0.42 * len(shown)), layout="constrained")
    for place, line in enumerate(shown):
        middle = margin(line, line["ratio"])
        axes.barh(place, middle - 1, left=1, height=0.55, color=HOLDS if line["holds"] else MISSES)
        spread = sorted(margin(line, ratio) for ratio in line["spread"])
        axes.plot(spread, (place, place), color=SPREAD, linewidth=1.2, marker="|")
        aim = f"{'≥' if line['at_least'] else '≤'} {line['target']:g}"
        axes.annotate(
            f"{line['ratio']:g} ({aim})",
            (1, place),
            xytext=(1.005, place),
            xycoords="axes fraction",
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
        )
    axes.axvline(1, color=SPREAD, linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xlim(1 / FAR, FAR)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    names = [shorten(f"{line['row']}: {line['what']}", 76, placeholder=" …") for line in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.set_xlabel("Times better than the target. Red bars to the left of 1× miss it. Lines: spread of the repeats.")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path
