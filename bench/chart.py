"""The rows as a picture: how far each lies from its target, on the side where it holds or on the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

HOLDS, MISSES, SPREAD = "#2a7f62", "#c1442e", "#333333"


def margin(line: dict[str, Any], ratio: float) -> float:
    """1 on the target; 2 when twice as good."""
    target = float(line["target"])
    return ratio / target if line["at_least"] else target / max(ratio, 1e-9)


def draw(lines: Sequence[dict[str, Any]], path: Path) -> Path:
    """One bar a row that has a ratio, from the target (1) to its median, with its spread; right is better."""
    shown = [line for line in lines if "ratio" in line][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.42 * len(shown)), layout="constrained")
    for place, line in enumerate(shown):
        middle = margin(line, line["ratio"])
        axes.barh(place, middle - 1, left=1, height=0.55, color=HOLDS if line["holds"] else MISSES)
        spread = sorted(margin(line, ratio) for ratio in line["spread"])
        axes.plot(spread, (place, place), color=SPREAD, linewidth=1.2, marker="|")
        aim = f"{'≥' if line['at_least'] else '≤'} {line['target']:g}"
        axes.annotate(f"{line['ratio']:g} ({aim})", (1, place), xytext=(1.005, place), xycoords="axes fraction",
                      textcoords=axes.get_yaxis_transform(), va="center", fontsize=8)  # fmt: skip
    axes.axvline(1, color=SPREAD, linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_yticks(range(len(shown)), [f"{line['row']}: {line['what']}" for line in shown], fontsize=8)
    axes.set_xlabel(
        "as good as asked for (1×), worse to the left, better to the right; the line is the spread of repeats"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path
