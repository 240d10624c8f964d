"""`python -m cluster.simulate` prints the report. `--calibrate`, `--tune`, `--engines`, `--limits`: see their help."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.profiles import load_profile
from cluster.simulate import contest, traces
from cluster.simulate.limits import rows
from cluster.simulate.pipeline import Pipeline, Run
from cluster.simulate.report import POLICIES, SETTINGS, WARM_UP_S, draw, figures, simulate, table, write_page
from cluster.simulate.stages import A_24_GB_CARD

TUNING_SEED = 99
PROCESSES = 2


def main(
    only: Annotated[list[str] | None, typer.Argument(help=f"Traces: {', '.join(SETTINGS)}; none = all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the plots.")] = Path("out/simulate"),
    page: Annotated[Path | None, typer.Option(help="Markdown page into which the figures are written.")] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Compare the model with real runs here.")] = False,
    tune: Annotated[bool, typer.Option("--tune", help="Search the settings of Serve's tuned autoscaler.")] = False,
    engines: Annotated[bool, typer.Option("--engines", help="Three engines in one cluster, under our policy.")] = False,
    limited: Annotated[str, typer.Option("--limits", help="Print what limits this profile, for 50,000 SKUs.")] = "",
) -> None:
    """Simulate capacity: SLO attainment, replica-hours and cost of every policy on every trace, as JSON lines."""
    if calibrate:
        from cluster.simulate.calibrate import main as compare

        raise typer.Exit(compare())
    if tune:
        search()
        return
    if engines:
        for line in engine_lines(three_engines()):
            print(json.dumps(line))
        return
    if limited:
        print("\n".join(rows(load_profile(limited))))
        return
    runs = {}
    keys = list(product(only or SETTINGS, POLICIES))
    with ProcessPoolExecutor(PROCESSES) as pool:
        for (name, policy), run in zip(keys, pool.map(simulate, *zip(*keys, strict=True)), strict=True):
            runs[name, policy] = run
            print(json.dumps(figures(name, policy, run)), flush=True)
    lines = [figures(*key, run) for key, run in runs.items()]
    Console(stderr=True, width=140).print(table(lines))
    pictures = draw(runs, out)
    if page is not None:
        write_page(page, lines, pictures)
    for picture in pictures:
        print(f"plot: {picture}", file=sys.stderr)


def three_engines(rate: float = 0.5, end_s: float = traces.HOUR_S, generators: int = 12) -> Run:
    """Simulate the card's own engine beside two further ones, whose row-steps take four times as long."""
    slow = replace(
        A_24_GB_CARD,
        step_fixed_s=4 * A_24_GB_CARD.step_fixed_s,
        step_each_s=4 * A_24_GB_CARD.step_each_s,
        max_rows=4,
    )
    machine = replace(A_24_GB_CARD, engines={"big": slow, "rare": slow})
    return Pipeline(traces.engines(rate, end_s=end_s), machine, contest.ours(machine, generators, 2)).simulate()


def engine_lines(run: Run) -> Iterator[dict[str, float | int | str]]:
    """For each engine of a run: its shots, their seconds from acceptance to done, and its generators."""
    for engine, stage in run.machine.generators.items():
        waits = sorted(shot.latency_s for shot in run.shots if shot.arrival.engine == engine)
        yield {
            "engine": engine or "default",
            "shots": len(waits),
            "median_s": round(waits[len(waits) // 2], 1),
            "p95_s": round(waits[int(0.95 * len(waits))], 1),
            "longest_s": round(waits[-1], 1),
            "most_generators": max(sample.running[stage] for sample in run.samples),
            "generator_hours": round(run.replica_seconds[stage] / traces.HOUR_S, 2),
        }


def search() -> None:
    """Try a grid of settings of Serve's autoscaler on one burst.

    The best setting has the fewest late shots without more generator-seconds than the defaults ("allowed").
    """
    trace = traces.burst(1.5, seed=TUNING_SEED)
    allowed = Pipeline(trace, A_24_GB_CARD, contest.stock(48, 6)).simulate().replica_seconds["generator"]
    for up_s, down_s, look_back_s, target in product((0.0, 5.0), (60.0, 120.0), (15.0, 30.0), (1.5, 2.0, 3.0)):
        changes = {"upscale_delay_s": up_s, "downscale_delay_s": down_s, "look_back_period_s": look_back_s}
        run = Pipeline(trace, A_24_GB_CARD, contest.stock(48, 6, target=target, **changes)).simulate()
        seconds = run.replica_seconds["generator"]
        missed, _ = run.misses(contest.SLO_S, WARM_UP_S)
        line = {**changes, "target": target, "missed": missed, "generator_seconds": round(seconds)}
        print(json.dumps(line | {"allowed": seconds <= allowed}), flush=True)


if __name__ == "__main__":
    typer.run(main)
