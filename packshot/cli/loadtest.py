"""`packshot loadtest`: load a running server, or a cluster that this command starts, and check the SLOs.

Exit codes: 0 = the SLOs hold, 1 = they do not, 2 = refused before any load, 3 = invalid, because the generator was the
bottleneck.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from typer.core import TyperGroup

from loadtest.capacity import MAX_TRIALS
from packshot.cli.config import DEFAULT_PROFILE
from packshot.cli.console import FAILED, REFUSED, AsJson, named_extra, put_json, report_errors, stderr, table

if TYPE_CHECKING:
    from loadtest.run.runner import Target
    from loadtest.scenarios.scenario import Scenario

P = ParamSpec("P")

KEYS_VARIABLE = "PACKSHOT_LOADTEST_KEYS"


class ScenarioFirst(TyperGroup):
    """Accepts `loadtest SCENARIO …` as a short form of `loadtest run SCENARIO …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ScenarioFirst,
    help="Load a server and check its SLOs. `packshot loadtest SCENARIO` means `packshot loadtest run SCENARIO`. "
    "`packshot loadtest run --help` lists its options.",
    epilog=(
        "Exit codes: 0 = the SLOs hold, 1 = they do not, 2 = refused before any load, 3 = invalid, because the "
        "generator was the bottleneck."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _report_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command so that Refused becomes a line on stderr and exit code 2, and Broken a line and exit code 1."""

    @wraps(command)
    @report_errors
    def run_reported(*args: P.args, **named: P.kwargs) -> None:
        from loadtest.errors import Broken, Refused

        try:
            with named_extra("loadtest"):
                command(*args, **named)
        except (Refused, Broken) as error:
            typer.echo(f"packshot: {error}", err=True)
            if named.get("as_json"):
                put_json(
                    {"error": {"code": "refused" if isinstance(error, Refused) else "broken", "detail": str(error)}}
                )
            raise typer.Exit(REFUSED if isinstance(error, Refused) else FAILED) from None

    return run_reported


@app.command()
@_report_errors
def run(
    scenario: Annotated[str, typer.Argument(help="A scenario's name (packshot loadtest scenarios) or a YAML file.")],
    host: Annotated[
        str | None,
        typer.Option(metavar="URL", help=f"Load this server (keys: {KEYS_VARIABLE}) instead of starting a cluster."),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="Without --host: the profile of the cluster to start.")
    ] = DEFAULT_PROFILE,
    load: Annotated[float, typer.Option(min=0.001, max=1000, help="Factor on the scenario's rates.")] = 1.0,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Generator processes that share the schedule.")] = 1,
    bind: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Listen here for external workers (loadtest worker).")
    ] = None,
    web: Annotated[bool, typer.Option("--web", help="Serve Locust's page on http://127.0.0.1:8089.")] = False,
    find_capacity: Annotated[
        bool, typer.Option("--find-capacity", help="Search for the highest load at which the SLOs hold.")
    ] = False,
    trial_s: Annotated[float, typer.Option(min=5, help="Measured seconds of each trial of the search.")] = 60.0,
    trials: Annotated[
        int,
        typer.Option(min=1, max=100, help="Maximum number of trials. Trials found in OUT count and are not repeated."),
    ] = MAX_TRIALS,
    own_host: Annotated[bool, typer.Option("--i-own-this-host", help="Permit a host other than this machine.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the report. Default: out/loadtest/SCENARIO.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a scenario and check its SLOs. Writes report.html, report.json and plots."""
    from loadtest.checks.verdict import EXIT_CODES
    from loadtest.report.report import write_report
    from loadtest.run.generator_process import WEB, Means
    from loadtest.run.progress import live, print_summary
    from loadtest.run.runner import run as run_once
    from loadtest.scenarios.scenario import load_scenario

    chosen = load_scenario(scenario)
    folder, console = out or Path("out/loadtest") / chosen.name, stderr()
    means = Means(workers, bind, web)
    if find_capacity:
        _capacity(
            chosen,
            host,
            profile,
            means=means,
            own_host=own_host,
            trial_s=trial_s,
            trials=trials,
            out=folder,
            as_json=as_json,
        )
        return
    with _target(chosen, host, profile, own_host, folder) as target:
        if web:
            console.print(f"Locust's page: http://{WEB[0]}:{WEB[1]}", markup=False)
        with live(chosen, console) as progress:
            summary = run_once(chosen, target, folder, means=means, factor=load, progress=progress)
    page = write_report(summary, folder)
    print_summary(summary, console)
    console.print(f"report: {page}", markup=False)
    if as_json:
        put_json(
            {key: summary[key] for key in ("name", "outcome", "checks", "validity", "shots_per_s")}
            | {"report": str(page)}
        )
    raise typer.Exit(EXIT_CODES[summary["outcome"]])


@app.command()
@_report_errors
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The earlier report: its folder or its report.json.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="A later report of the same scenario.")],
    as_json: AsJson = False,
) -> None:
    """Compare two runs of a scenario. Exits with 1 when B is worse by more than chance and 10 %."""
    from loadtest.errors import Refused
    from loadtest.report.compare import compare as differences_of
    from loadtest.report.report import read_report, shown

    try:
        differences = differences_of(read_report(a), read_report(b))
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"A and B must be two reports of one scenario: {error}") from None
    table(
        f"{a} -> {b}",
        ("figure", "A", "B", "change", ""),
        (
            (row.name, shown(row.before, row.unit), shown(row.after, row.unit), f"{row.change:+.1%}", row.verdict)
            for row in differences
        ),
    )
    worse = [row.name for row in differences if row.verdict == "worse"]
    if as_json:
        put_json({"worse": worse, "figures": {row.name: [row.before, row.after, row.verdict] for row in differences}})
    raise typer.Exit(1 if worse else 0)


@app.command()
@_report_errors
def scenarios() -> None:
    """List the included scenarios with their timelines."""
    from loadtest.scenarios.drawing import draw
    from loadtest.scenarios.scenario import load_scenario, scenario_names

    for name in scenario_names():
        scenario = load_scenario(name)
        typer.echo("\n".join([f"{name}: {scenario.sentence}", *draw(scenario), ""]))


@app.command()
@_report_errors
def worker(
    master: Annotated[str, typer.Option(metavar="HOST", help="The host on which `loadtest SCENARIO --bind` runs.")],
) -> None:
    """Run one generator process for a run on another host, until that run ends."""
    from loadtest.run.generator_process import run_worker

    raise typer.Exit(run_worker(master))


@contextmanager
def _target(scenario: Scenario, host: str | None, profile: str, own_host: bool, folder: Path) -> Iterator[Target]:
    """The server at `host`, or a local cluster that is stopped at the end of the block."""
    from loadtest.run.own_cluster import local_cluster
    from loadtest.run.runner import Target, make
    from loadtest.run.target import check_host

    if host is not None:
        keys = os.environ.get(KEYS_VARIABLE, "").split()
        yield Target(check_host(host, owned=own_host), keys or [None])
        return
    make(folder)
    status = stderr().status(f"starting {profile}")
    with tempfile.TemporaryDirectory(prefix="packshot-loadtest-") as home, status:
        keys = _keys(Path(home), scenario)
        with _ended_by_sigterm(), local_cluster(profile, Path(home), folder / "cluster.log") as cluster:
            status.stop()
            yield Target(cluster.url, keys, cluster, profile)


def _keys(home: Path, scenario: Scenario) -> list[str]:
    """Create a key for each tenant of the cluster that will start in `home`, with the weights of the scenario."""
    with named_extra("serve"):
        from packshot.settings import Settings
        from packshot.store.store import Store

    store = Store.from_settings(Settings(home=home))
    try:
        names = [f"tenant-{number}" for number in range(1, scenario.tenants + 1)]
        for name, weight in zip(names, scenario.slo.shares.weights if scenario.slo.shares else (), strict=False):
            store.tenants.set_weight(store.tenants.get_or_create(name).id, weight)
        return [store.keys.create(name).secret for name in names]
    finally:
        store.close()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM raise typer.Exit, so that the cluster is stopped as it is after Ctrl-C."""

    def end(*_: object) -> None:
        raise typer.Exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _capacity(
    scenario: Scenario,
    host: str | None,
    profile: str,
    *,
    means: Any,
    own_host: bool,
    trial_s: float,
    trials: int,
    out: Path,
    as_json: bool,
) -> None:
    """Search for the knee and print each trial."""
    from loadtest.capacity.knee import Knee, knee
    from loadtest.capacity.trial import Bottleneck, flat, kept_trials, search, trial_words
    from loadtest.run.progress import live

    console, bottleneck = stderr(), False

    def report(row: dict[str, Any], believed: Knee) -> None:
        console.print(
            f"×{row['load']:.3g}, {row['shots_per_s']['offered']:.2f} shots/s: {trial_words(row)}; knee "
            f"×{believed.load:.3g} ({believed.low:.3g} to {believed.high:.3g})",
            markup=False,
        )

    with _target(scenario, host, profile, own_host, out) as target:
        try:
            seen = search(
                scenario,
                target,
                out,
                trial_s=trial_s,
                most=trials,
                means=means,
                watched=lambda trial: live(trial, console),
                report=report,
            )
        except Bottleneck as error:
            console.print(str(error), markup=False)
            bottleneck = True
            seen, _ = kept_trials(out / "capacity.json", flat(scenario, trial_s))
    believed, per_load = knee(seen), _shots_at_one(scenario)
    answer = {
        "knee": {"load": believed.load, "low": believed.low, "high": believed.high},
        "shots_per_s": {
            "knee": believed.load * per_load,
            "low": believed.low * per_load,
            "high": believed.high * per_load,
        },
        "known": believed.known,
        "trials": len(seen),
    }
    console.print(f"knee: {json.dumps(answer)}", markup=False)
    if as_json:
        put_json(answer)
    raise typer.Exit(3 if bottleneck else 0 if believed.known else 1)


def _shots_at_one(scenario: Scenario) -> float:
    """Shots per second that the scenario offers at load 1."""
    per_arrival = {"designer": 1.0, "integrator": 1.0, "catalogue": sum(scenario.personas.catalogue.skus) / 2}
    return sum((row.rate_per_s or 0.0) * per_arrival.get(row.persona, 0.0) for row in scenario.traffic)
