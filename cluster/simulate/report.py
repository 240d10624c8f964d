"""The simulator's report: a table of every trace under every policy, and the plots of docs/capacity.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from cluster.simulate import contest, traces
from cluster.simulate.pipeline import Pipeline, Run, Scaler
from cluster.simulate.stages import A_24_GB_CARD
from cluster.simulate.traces import Trace

INK, OURS, QUIET, LATE = "#222222", "#1f6f54", "#a8a8a8", "#c8553d"
WARM_UP_S = 600.0
POLICIES = ("ours", "stock", "tuned", "fixed")
NAMES = {
    "ours": "the pipeline's policy",
    "stock": "Serve's defaults",
    "tuned": "Serve, tuned delays",
    "fixed": "fixed number",
}


@dataclass(frozen=True)
class Setting:
    """A trace and the bounds of its cluster.

    `high` is the largest number of generators and `begin` the initial one. `fixed` is the number of the fixed policy,
    enough for the peak. `low` is the minimum of the GPU stages under our policy. `tick_s` is the interval of decisions
    in seconds, longer for long traces.
    """

    trace: Callable[[], Trace]
    high: int
    begin: int
    fixed: int
    low: int = 1
    tick_s: float = 1.0


SETTINGS = {
    "steady": Setting(lambda: traces.steady(1.5), 24, 6, 6),
    "diurnal": Setting(lambda: traces.diurnal(1.5), 24, 1, 6, low=0, tick_s=5),
    "burst": Setting(lambda: traces.burst(1.5), 48, 6, 24),
    "catalogue": Setting(lambda: traces.catalogue(50_000, 0.3), 64, 3, 32, tick_s=5),
    "monday": Setting(lambda: traces.agency_monday(0.8), 48, 3, 12, tick_s=5),
}


def scaler(policy: str, setting: Setting) -> Scaler:
    """The policy of this name, within the setting's bounds. Raises KeyError for an unknown name."""
    makers: dict[str, Callable[[], Scaler]] = {
        "ours": lambda: contest.ours(A_24_GB_CARD, setting.high, setting.begin, setting.low),
        "stock": lambda: contest.stock(setting.high, setting.begin),
        "tuned": lambda: contest.tuned(setting.high, setting.begin),
        "fixed": lambda: contest.fixed(setting.fixed),
    }
    return makers[policy]()


def simulate(name: str, policy: str) -> Run:
    """Simulate a named trace under a named policy."""
    setting = SETTINGS[name]
    pipeline = Pipeline(setting.trace(), A_24_GB_CARD, scaler(policy, setting), tick_s=setting.tick_s)
    return pipeline.simulate(patience_s=24 * 3600.0)


def figures(name: str, policy: str, run: Run) -> dict[str, Any]:
    """The figures of one run, as one line of the report."""
    missed, people = run.misses(contest.SLO_S, WARM_UP_S)
    return {
        "trace": name,
        "policy": policy,
        "attainment": round(1 - missed / people, 4) if people else None,
        "missed": missed,
        "people": people,
        "generator_hours": round(run.replica_seconds["generator"] / 3600, 2),
        "replica_hours": round(sum(run.replica_seconds.values()) / 3600, 2),
        "dollars": round(run.dollars, 2),
        "catalogue_hours": round(run.catalogue_done_s() / 3600, 2),
        "most_generators": max(sample.targets["generator"] for sample in run.samples),
        "flaps": run.flaps(),
    }


def table(lines: Sequence[dict[str, Any]]) -> Table:
    """The lines as a table for the terminal."""
    shown = Table(title=f"in time: within {contest.SLO_S:g} s; h: replica-hours; flap: up and down within 2 minutes")
    for column in ("trace", "policy", "in time", "generator h", "all h", "$", "catalogue done", "flaps"):
        shown.add_column(column, justify="left" if column in ("trace", "policy") else "right")
    for line in lines:
        done = f"{line['catalogue_hours']:.1f} h" if line["catalogue_hours"] else ""
        shown.add_row(
            line["trace"],
            NAMES[line["policy"]],
            f"{line['attainment']:.2%}",
            f"{line['generator_hours']:.1f}",
            f"{line['replica_hours']:.1f}",
            f"{line['dollars']:.2f}",
            done,
            str(line["flaps"]),
        )
    return shown


MARKS = ("<!-- figures -->\n", "<!-- /figures -->")


def write_page(page: Path, lines: Sequence[dict[str, Any]], pictures: Sequence[Path]) -> None:
    """Write the lines and pictures between the marks of a Markdown page. Raises ValueError without the marks."""
    before, _, rest = page.read_text("utf-8").partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"{page} must contain the marks {MARKS[0].strip()} and {MARKS[1].strip()}")
    rows = [
        "| trace | policy | in time | generator-hours | hours of all replicas | $ | catalogue done after | flaps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        done = f"{60 * line['catalogue_hours']:.0f} min" if line["catalogue_hours"] else ""
        rows.append(
            f"| {line['trace']} | {NAMES[line['policy']]} | {line['attainment']:.2%} | {line['generator_hours']:.1f} "
            f"| {line['replica_hours']:.1f} | {line['dollars']:.2f} | {done} | {line['flaps']} |"
        )
    shown = [f"![{picture.stem.replace('-', ' ')}](pictures/{picture.name})" for picture in pictures]
    text = "\n".join(rows) + "\n\n" + "\n\n".join(shown) + "\n"
    page.write_text(before + MARKS[0] + text + MARKS[1] + after, "utf-8")


def draw(runs: dict[tuple[str, str], Run], folder: Path) -> list[Path]:
    """Draw the plots whose runs are present, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        "capacity-burst.png": (("burst", policy) for policy in ("ours", "stock", "tuned")),
        "capacity-misses.png": (("burst", policy) for policy in ("ours", "stock", "tuned")),
        "capacity-catalogue.png": (("catalogue", policy) for policy in ("ours", "stock")),
        "capacity-monday.png": (("monday", "ours"),),
    }
    drawers = {
        "capacity-burst.png": _burst,
        "capacity-misses.png": _misses,
        "capacity-catalogue.png": _catalogue,
        "capacity-monday.png": _monday,
    }
    made = []
    for file, keys in wanted.items():
        if all(key in runs for key in keys):
            drawers[file](runs, folder / file)
            made.append(folder / file)
    return made


def _axes(height: float = 3.4) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.edgecolor": QUIET, "text.color": INK, "axes.labelcolor": INK})
    figure, axes = pyplot.subplots(figsize=(7.2, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _generators(run: Run, per_s: float) -> tuple[list[float], list[int]]:
    return [s.at_s / per_s for s in run.samples], [s.running["generator"] for s in run.samples]


def _burst(runs: dict[tuple[str, str], Run], path: Path) -> None:
    figure, axes = _axes()
    axes.axvspan(15, 25, color="#f3ede2", linewidth=0)
    axes.text(20, 50.5, "five times the traffic", ha="center", fontsize=8)
    labels = {"ours": (27.2, 41), "stock": (32, 30.5), "tuned": (16.3, 19)}
    for policy, colour, width in (("stock", QUIET, 1.4), ("tuned", LATE, 1.2), ("ours", OURS, 2.0)):
        at, running = _generators(runs["burst", policy], 60)
        axes.step(at, running, where="post", color=colour, linewidth=width)
        axes.annotate(NAMES[policy], labels[policy], color=colour, fontsize=8)
    axes.set(xlim=(10, 50), ylim=(0, 54), xlabel="minutes", ylabel="generators running")
    axes.set_title("Generators during a burst: started within a minute, stopped soon after", loc="left", fontsize=10)
    _save(figure, path)


def _misses(runs: dict[tuple[str, str], Run], path: Path) -> None:
    figure, axes = _axes(2.3)
    for place, policy in enumerate(("ours", "tuned", "stock")):
        run = runs["burst", policy]
        missed, people = run.misses(contest.SLO_S, WARM_UP_S)
        axes.barh(place, missed, color=OURS if policy == "ours" else QUIET, height=0.55)
        hours = run.replica_seconds["generator"] / 3600
        axes.text(missed, place, f"  {missed} of {people:,}, for {hours:.1f} generator-hours", va="center", fontsize=8)
    axes.set_yticks(range(3), [NAMES[policy] for policy in ("ours", "tuned", "stock")])
    axes.set(xlabel=f"interactive shots that took longer than {contest.SLO_S:g} s", xlim=(0, 1.6 * axes.get_xlim()[1]))
    axes.set_title("Late shots in an hour with a ten-minute burst", loc="left", fontsize=10)
    _save(figure, path)


def _catalogue(runs: dict[tuple[str, str], Run], path: Path) -> None:
    figure, axes = _axes()
    last_h = 0.0
    for policy, colour, width, above_pt in (("stock", QUIET, 3.0, 8), ("ours", OURS, 1.4, 36)):
        run = runs["catalogue", policy]
        at = [sample.at_s / 3600 for sample in run.samples]
        axes.plot(at, [sample.waiting_shots for sample in run.samples], color=colour, linewidth=width)
        done_h = (600 + run.catalogue_done_s()) / 3600
        axes.annotate(
            f"{NAMES[policy]}:\ndone after {done_h:.1f} h",
            (done_h, 600),
            xytext=(6, above_pt),
            textcoords="offset points",
            color=colour,
            fontsize=8,
        )
        last_h = max(last_h, done_h)
    axes.set(xlim=(0, 1.3 * last_h), ylim=(0, None), xlabel="hours", ylabel="shots waiting")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_title("A catalogue of 50,000 SKUs, at most 64 generators", loc="left", fontsize=10)
    _save(figure, path)


def _monday(runs: dict[tuple[str, str], Run], path: Path) -> None:
    figure, axes = _axes()
    run = runs["monday", "ours"]
    at, running = _generators(run, 3600)
    axes.fill_between([8 + hour for hour in at], running, step="post", color=OURS, alpha=0.85, linewidth=0)
    missed, people = run.misses(contest.SLO_S, WARM_UP_S)
    axes.annotate(
        f"{1 - missed / people:.1%} of {people:,} interactive shots in time", (8.1, max(running) * 1.06), fontsize=8
    )
    for hour, what in ((9.0, "work begins"), (12.0, "lunch"), (16.0, "half the people leave")):
        axes.annotate(what, (hour, 0), xytext=(hour + 0.05, max(running) * 0.93), fontsize=8, color=INK)
        axes.axvline(hour, color=QUIET, linewidth=0.6)
    axes.set(xlim=(8, 18), ylim=(0, max(running) * 1.15), xlabel="o'clock", ylabel="generators running")
    axes.set_title("Agency Monday: interactive shots, and twelve catalogues in the morning", loc="left", fontsize=10)
    _save(figure, path)
