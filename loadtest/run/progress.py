"""The progress display on stderr: one table that is updated every second. And the summary of a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from loadtest.report.report import (
    CLASS_HEAD,
    OUTCOMES,
    check_cells,
    class_cells,
    host_sentence,
    pictures_sentence,
    shown,
)
from loadtest.run.recorder import Recorder
from loadtest.run.runner import Progress
from loadtest.scenarios.scenario import Scenario


@contextmanager
def live(scenario: Scenario, console: Console) -> Iterator[Progress]:
    """Give a `Progress` that draws a table; when `console` is not a terminal, it prints a line every ten seconds."""
    if not console.is_terminal:
        yield _lines(scenario, console)
        return
    with Live(console=console, auto_refresh=False, transient=True) as screen:
        yield lambda recorder, at_s: screen.update(_table(scenario, recorder, at_s), refresh=True)


def _lines(scenario: Scenario, console: Console) -> Progress:
    def show(recorder: Recorder, at_s: float) -> None:
        if int(at_s) % 10 == 0:
            found = sum(window.offered for row in recorder.classes.values() for window in row.windows)
            right = sum(window.right for row in recorder.classes.values() for window in row.windows)
            console.print(
                f"{at_s:6.0f} s of {scenario.seconds:g}: {found} answers, {found - right} wrong", markup=False
            )

    return show


def _table(scenario: Scenario, recorder: Recorder, at_s: float) -> Table:
    phase, start = "waiting for the last answers", 0.0
    for stretch in scenario.timeline:
        if start <= at_s < start + stretch.seconds:
            phase = stretch.name
        start += stretch.seconds
    lag, busy = recorder.lag_percentile_ms(0.99), recorder.generator[-1]["cpu"] if recorder.generator else 0.0
    under_way = recorder.generator[-1]["open"] if recorder.generator else 0
    title = f"{scenario.name} · {phase} · {at_s:.0f} of {scenario.seconds:g} s · {under_way} in progress"
    table = Table(
        title=title,
        title_justify="left",
        caption=f"generator: lag p99 ≤ {lag:g} ms, {busy:.0%} of a core",
        caption_justify="left",
    )
    for column in ("class", "answers", "right", "p50", "p95", "p99"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, row in recorder.classes.items():
        answers, right = (sum(getattr(window, what) for window in row.windows) for what in ("offered", "right"))
        times = (
            shown(row.percentile_ms(percent), "ms") if row.histogram.get_total_count() else ""
            for percent in (50, 95, 99)
        )
        table.add_row(name, str(answers), str(right), *times)
    return table


def print_summary(run: dict[str, Any], console: Console) -> None:
    """Print a finished run: its latencies, its bounds and its verdict."""
    answers = Table(title=f"{run['name']}: latency from the intended send time", title_justify="left")
    for column in CLASS_HEAD:
        answers.add_column(column, justify="left" if column == "class" else "right")
    for name, row in run["classes"].items():
        answers.add_row(*class_cells(name, row))
    console.print(answers)
    bounds = Table()
    for column in ("bound", "value", "limit", ""):
        bounds.add_column(column, justify="left" if column in ("bound", "") else "right")
    for check in [*run["checks"], *run["validity"]]:
        bounds.add_row(*check_cells(check), style=None if check["holds"] else "bold red")
    console.print(bounds)
    console.print(host_sentence(run["generator"]), markup=False)
    for name, row in run["classes"].items():
        for why, count in row["why"].items():
            console.print(f"{name}: {count} × {why}", markup=False)
    for fault in run["faults"]:
        back = "never" if fault["back_s"] is None else f"{fault['back_s']:.1f} s"
        console.print(
            f"{fault['words']} at {fault['at_s']:.1f} s: back after {back}, recovered after "
            f"{fault['recovered_s']:.1f} s {fault['error']}",
            markup=False,
        )
    console.print(pictures_sentence(run["pictures"]), markup=False)
    for sentence in run["pictures"]["wrong"]:
        console.print(sentence, style="red", markup=False)
    console.print(OUTCOMES[run["outcome"]], style="bold green" if run["outcome"] == "holds" else "bold red")
