"""The method of every row: both sides run in turn (A B A B), and the median of the ratios counts.

A row is measured only when both sides give the same result (parity).
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

REPEATS = 7


@dataclass(frozen=True)
class Row:
    """One ratio of docs/measurements.md.

    `sentence` describes the ratio. The median must be at most `target`, or at least `target` when `at_least` is True.
    """

    name: str
    sentence: str
    target: float
    at_least: bool = False

    def holds(self, ratio: float) -> bool:
        """Whether a ratio meets the target."""
        return ratio >= self.target if self.at_least else ratio <= self.target

    @property
    def aim(self) -> str:
        """The target in words, such as "≤ 1.05"."""
        return f"{'≥' if self.at_least else '≤'} {self.target:g}"


@dataclass(frozen=True)
class Sides:
    """The seconds of both sides in each repeat."""

    ours_s: list[float]
    theirs_s: list[float]

    @property
    def ratios(self) -> list[float]:
        """Our seconds over theirs, for each repeat."""
        return [ours / theirs for ours, theirs in zip(self.ours_s, self.theirs_s, strict=True)]


def timed(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The seconds that one call takes, by `clock`."""
    started_at = clock()
    call()
    return clock() - started_at


def interleave(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> Sides:
    """Time both sides in turn, after one warm-up call of each. Pass `time.process_time` to count core-seconds."""
    ours()
    theirs()
    pairs = [(timed(ours, clock), timed(theirs, clock)) for _ in range(repeats)]
    return Sides([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def report(row: Row, sides: Sides, parity: str) -> bool:
    """Print the row's table and JSON line. Returns whether the target holds."""
    table = Table(title=f"{row.name}: {row.sentence}", title_justify="left")
    for column in ("", "min", "median", "max"):
        table.add_column(column, justify="right")
    for name, values, unit in (
        ("ours", [1000 * s for s in sides.ours_s], " ms"),
        ("theirs", [1000 * s for s in sides.theirs_s], " ms"),
        ("ratio", sides.ratios, ""),
    ):
        shown = (min(values), statistics.median(values), max(values))
        table.add_row(name, *(f"{value:.3g}{unit}" for value in shown))
    Console(stderr=True).print(table)
    return print_row(row, sides.ratios, parity=parity)


def print_row(row: Row, ratios: Sequence[float], **more: object) -> bool:
    """Print the row's JSON line with the fields of `more`. Returns whether the target holds."""
    ratio = statistics.median(ratios)
    line = {
        "row": row.name,
        "what": row.sentence,
        "ratio": round(ratio, 3),
        "target": row.target,
        "at_least": row.at_least,
        "holds": row.holds(ratio),
        "repeats": len(ratios),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }
    print(json.dumps(line | more), flush=True)
    return row.holds(ratio)


def not_measured(row: Row, why: str) -> None:
    """Print the JSON line of a row that this machine cannot measure."""
    line = {"row": row.name, "what": row.sentence, "target": row.target, "at_least": row.at_least, "not_measured": why}
    print(json.dumps(line), flush=True)
