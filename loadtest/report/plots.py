"""The report's plots, drawn from a run's summary alone. All plots over time mark the phases and the faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

Summary = dict[str, Any]

INK, MUTED, GRID = "#22252a", "#6b7280", "#e5e7eb"
BAND, FAULT, BAD = "#f3f4f6", "#b42318", "#b42318"
COLOURS = ("#1f5fa8", "#c2570c", "#2a7f62", "#7a4fa3", "#8a6d1d", "#4b5563", "#b23a6e")
STAGE_COLOURS = {
    "queue": "#9aa3ae",
    "begin": "#8ab6d6",
    "encode": "#5b9bd5",
    "steps": "#1f5fa8",
    "decode": "#2a7f62",
    "rest": "#e0b070",
}
SHOTS = ("shot", "api_shot", "catalogue_shot")
WIDTH, HEIGHT = 10.0, 3.6
DPI, COLOURS_KEPT = 110, 96
HEADROOM = 1.18
"""Upper limit of an axis over its highest value, which leaves room for the names of the phases."""
LETTER_PX = 6.0
"""Width of a letter of a phase's name, used to omit names that would not fit."""


def draw_all(run: Summary, folder: Path) -> dict[str, Path]:
    """Draw every plot that this run has data for into `folder`. Returns the PNGs by name, in the report's order."""
    folder.mkdir(parents=True, exist_ok=True)
    plots: dict[str, Callable[[Summary], Figure | None]] = {
        "latency": latency,
        "goodput": goodput,
        "stages": stages,
        "replicas": replicas,
        "generator": generator,
    }
    drawn = {}
    for name, plot in plots.items():
        if (figure := plot(run)) is not None:
            path = folder / f"{name}.png"
            _save(figure, path)
            pyplot.close(figure)
            drawn[name] = path
    return drawn


def _save(figure: Figure, path: Path) -> None:
    """Save as a PNG with a palette, which takes a third of the bytes: the report is one file that people mail."""
    data = BytesIO()
    figure.savefig(data, dpi=DPI)
    with Image.open(data) as picture:
        picture.convert("RGB").quantize(COLOURS_KEPT).save(path, optimize=True)


def latency(run: Summary) -> Figure:
    """The p50 and p95 of each class in each window, with the bounds as dashed lines."""
    names = [name for name in run["classes"] if run["classes"][name]["offered"]]
    columns = 2 if len(names) > 1 else 1
    rows = -(-len(names) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(WIDTH, 2.0 * rows + 0.6), sharex=True, squeeze=False, layout="constrained"
    )
    for place, name in enumerate(names):
        axes, colour = grid[place // columns][place % columns], COLOURS[place % len(COLOURS)]
        windows = run["windows"]["classes"][name]
        kept = [(at, row) for at, row in zip(_middles(run), windows, strict=True) if row["p50_ms"] is not None]
        at = [middle for middle, _ in kept]
        axes.plot(
            at, [row["p95_ms"] / 1000 for _, row in kept], "o", color=colour, markersize=3.5, alpha=0.55, label="p95"
        )
        axes.plot(at, [row["p50_ms"] / 1000 for _, row in kept], "-", color=colour, linewidth=1.6, label="p50")
        bounds, high = run["scenario"]["slo"]["classes"][name], axes.get_ylim()[1]
        top = high
        for percent in (50, 95):
            bound = bounds[f"p{percent}_ms"] / 1000
            if bound < 2.5 * high:
                axes.axhline(bound, color=MUTED, linewidth=0.9, linestyle="--")
                top = max(top, bound)
                axes.annotate(
                    f"p{percent} ≤ {bound:g} s",
                    (1, bound),
                    xycoords=("axes fraction", "data"),
                    ha="right",
                    va="bottom",
                    fontsize=7.5,
                    color=MUTED,
                )
        axes.set_ylim(0, HEADROOM * top)
        axes.set_title(f"{name}  ({run['classes'][name]['offered']} judged)", loc="left", fontsize=9.5, color=INK)
        _dress(run, axes)
        axes.set_ylabel("s", color=MUTED, fontsize=8.5)
    for spare in range(len(names), rows * columns):
        grid[spare // columns][spare % columns].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel(
            "seconds of the run, by intended send time (line: p50, dots: p95 of each window)", color=MUTED, fontsize=8
        )
    return figure


def goodput(run: Summary) -> Figure:
    """Offered and good shots per second, as areas. Without shots in the traffic, all answers are counted instead."""
    names = [name for name in SHOTS if name in run["classes"]] or list(run["classes"])
    width_s = run["windows"]["seconds"]
    rows = list(zip(*(run["windows"]["classes"][name] for name in names), strict=True))
    offered = _smooth([sum(row["offered"] for row in window) / width_s for window in rows])
    good = _smooth([sum(row["good"] for row in window) / width_s for window in rows])
    figure, axes = _axes()
    at = _middles(run)
    axes.fill_between(at, offered, color="#d7dce3", step="mid", label="offered")
    axes.fill_between(
        at, good, color=COLOURS[2], step="mid", alpha=0.85, label="good: correct, and within the class's p99 bound"
    )
    axes.step(at, offered, where="mid", color=INK, linewidth=1.0)
    axes.set_ylim(0, HEADROOM * max(*offered, 1e-9))
    what = "shots" if names[0] in SHOTS else "answers"
    axes.set_title(
        f"Goodput and offered load, {what} per second (by intended send time, mean over {5 * width_s:.3g} s)",
        loc="left",
        fontsize=10,
        color=INK,
    )
    _dress(run, axes)
    axes.set_xlabel("seconds of the run", color=MUTED, fontsize=8.5)
    _legend(figure)
    return figure


def stages(run: Summary) -> Figure | None:
    """The mean time of each class by the server's stage times, and the time that no stage accounts for."""
    rows = [(name, row) for name, row in run["classes"].items() if row["stages_ms"]]
    if not rows:
        return None
    figure, axes = pyplot.subplots(figsize=(WIDTH, 0.62 * len(rows) + 1.5), layout="constrained")
    shown: set[str] = set()
    for place, (_, row) in enumerate(reversed(rows)):
        left = 0.0
        parts = stage_rows(row)
        for stage in sorted(parts, key=_place_of):
            ms = parts[stage]
            colour = STAGE_COLOURS.get(stage, "#b9a7d1")
            axes.barh(
                place, ms / 1000, left=left / 1000, height=0.55, color=colour, label=None if stage in shown else stage
            )
            shown.add(stage)
            left += ms
        axes.annotate(
            f"{left / 1000:.2f} s",
            (left / 1000, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=MUTED,
        )
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)], fontsize=9)
    axes.set_title(
        "Mean seconds of an answer by stage (rest: network, polling, download)",
        loc="left",
        fontsize=10,
        color=INK,
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=MUTED, labelsize=8.5)
    axes.margins(x=0.09)
    handles, labels = axes.get_legend_handles_labels()
    found = sorted(zip(labels, handles, strict=True), key=lambda pair: _place_of(pair[0]))
    _legend(figure, [handle for _, handle in found], [label for label, _ in found])
    return figure


def _place_of(stage: str) -> int:
    """The position of a stage in a bar and in the legend."""
    order = ("queue", "encode", "begin", "steps", "decode", "rest of render", "rest")
    return order.index(stage) if stage in order else order.index("rest of render")


def stage_rows(row: Summary) -> dict[str, float]:
    """The mean stage times of a class in milliseconds, in order and without overlap.

    `render` contains begin, steps and decode, so only the remainder of it is shown. `rest` is the time of the answer
    that no stage accounts for.
    """
    found = dict(row["stages_ms"])
    parts = sum(found.get(name, 0.0) for name in ("begin", "steps", "decode"))
    if "render" in found:
        found["rest of render"] = max(0.0, found.pop("render") - parts)
    order = [name for name in ("queue", "encode", "begin", "steps", "decode") if name in found]
    order += [name for name in found if name not in order]
    return {name: found[name] for name in order} | {"rest": max(0.0, row["mean_ms"] - sum(found.values()))}


def replicas(run: Summary) -> Figure | None:
    """The replicas of each stage and the number of waiting shots, over time."""
    found, queued = run["server"]["replicas"], run["server"]["queued"]
    if not found and not queued:
        return None
    figure, axes = _axes()
    for place, (stage, rows) in enumerate(sorted(found.items())):
        # A small offset, so that stages with the same number of replicas do not hide one another.
        axes.step(
            [at for at, _ in rows],
            [count + 0.03 * place for _, count in rows],
            where="post",
            linewidth=1.7,
            color=COLOURS[place % len(COLOURS)],
            label=stage,
        )
    if found:
        most = max(count for rows in found.values() for _, count in rows)
        axes.set_ylim(0, most + 1)
        axes.set_yticks(range(int(most) + 2))
        axes.set_ylabel("replicas", color=MUTED, fontsize=8.5)
    if queued:
        right = axes.twinx()
        right.fill_between(
            [at for at, _ in queued], [count for _, count in queued], color="#d7dce3", alpha=0.7, step="post"
        )
        right.set_ylim(0, max(1, *(count for _, count in queued)) * 1.5)
        _dress_right(right, "shots waiting (grey)")
        axes.set_zorder(right.get_zorder() + 1)
        axes.patch.set_visible(False)
    axes.set_title("Replicas and waiting shots", loc="left", fontsize=10, color=INK)
    _dress(run, axes)
    axes.set_xlim(0, run["scenario_seconds"])
    axes.set_xlabel("seconds of the run", color=MUTED, fontsize=8.5)
    if found:
        _legend(figure)
    return figure


def generator(run: Summary) -> Figure:
    """The generator's processor time, and its sessions in progress."""
    rows = run["generator"]["rows"]
    figure, axes = _axes()
    for worker in sorted({row[1] for row in rows}):
        own = [row for row in rows if row[1] == worker]
        axes.plot(
            [row[0] for row in own],
            [100 * row[2] for row in own],
            color=COLOURS[worker % len(COLOURS)],
            linewidth=1.4,
            label=f"worker {worker}: % of a core",
        )
    axes.set_ylim(0, 100 * HEADROOM)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("% of a core", color=MUTED, fontsize=8.5)
    right = axes.twinx()
    right.step(
        [row[0] for row in rows if row[1] == 0], [row[3] for row in rows if row[1] == 0], color=MUTED, linewidth=1.0
    )
    right.set_ylim(bottom=0)
    _dress_right(right, "sessions in progress (grey)")
    lag = run["generator"]["lag_p99_ms"]
    axes.set_title(f"Generator (99 % of its own delays ≤ {lag:g} ms)", loc="left", fontsize=10, color=INK)
    _dress(run, axes)
    axes.set_xlabel("seconds of the run", color=MUTED, fontsize=8.5)
    _legend(figure)
    return figure


def _legend(figure: Figure, *handles_and_labels: Sequence[Any]) -> None:
    """Put the legend under the plot, where it hides nothing."""
    figure.legend(*handles_and_labels, loc="outside lower center", ncols=7, fontsize=8, frameon=False)


def _axes() -> tuple[Figure, Axes]:
    return pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")


def _middles(run: Summary) -> list[float]:
    width_s = run["windows"]["seconds"]
    count = len(next(iter(run["windows"]["classes"].values())))
    return [(index + 0.5) * width_s for index in range(count)]


def _smooth(values: Sequence[float], over: int = 5) -> list[float]:
    """The moving average over `over` windows. Arrivals are few, so a single window often holds one or none."""
    half = over // 2
    return [sum(part) / len(part) for part in (values[max(0, i - half) : i + half + 1] for i in range(len(values)))]


def _dress_right(axes: Axes, label: str) -> None:
    axes.set_ylabel(label, color=MUTED, fontsize=8.5)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(colors=MUTED, labelsize=8.5)
    axes.spines[["top", "left"]].set_visible(False)
    axes.spines[["right", "bottom"]].set_color(GRID)


def _dress(run: Summary, axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8.5)
    axes.set_xlim(0, run["scenario_seconds"])
    start = 0.0
    for index, phase in enumerate(run["scenario"]["timeline"]):
        if index % 2:
            axes.axvspan(start, start + phase["seconds"], color=BAND, zorder=0)
        room = axes.get_window_extent().width * phase["seconds"] / run["scenario_seconds"]
        if room >= LETTER_PX * len(phase["name"]):
            axes.annotate(
                phase["name"],
                (start, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -2),
                textcoords="offset points",
                va="top",
                fontsize=7,
                color=MUTED,
            )
        start += phase["seconds"]
    for fault in run["faults"]:
        axes.axvline(fault["at_s"], color=FAULT, linewidth=1.0)
        axes.annotate(
            fault["words"],
            (fault["at_s"], 0.88),
            xycoords=("data", "axes fraction"),
            xytext=(2, 0),
            textcoords="offset points",
            va="top",
            rotation=90,
            fontsize=7,
            color=FAULT,
        )
