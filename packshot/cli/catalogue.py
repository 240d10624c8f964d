"""`packshot catalogue`: many SKUs with one look, from a sheet or a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from packshot.cli.console import REFUSED, AsJson, put_json, report_errors, stderr, table
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.catalogue.plan import Costs, Plan
    from packshot.contract.catalogue import DryRunAnswer, Manifest

SHOWN_PROBLEMS = 20

app = typer.Typer(help="Plan catalogues: many SKUs with one look.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Plan catalogues: many SKUs with one look."""


@app.command()
@report_errors
def plan(
    manifest: Annotated[
        Path,
        typer.Argument(help="A manifest (YAML, JSON), a sheet (CSV), or a folder with one or with photos."),
    ],
    look: Annotated[
        Path | None, typer.Option(help="A manifest without items (YAML, JSON), for a sheet or a folder of photos.")
    ] = None,
    scene: Annotated[
        list[str] | None, typer.Option(help="A scene, NAME=TEXT; repeatable. For a sheet or a folder of photos.")
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(help="A channel's preset; NAME=white delivers one plain picture a SKU; repeatable."),
    ] = None,
    profile: Annotated[str, typer.Option(help="The profile whose device's times the estimate takes.")] = "laptop",
    problems: Annotated[Path | None, typer.Option(help="Write all problems to this CSV file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a catalogue and count what it would make. Nothing is uploaded, stored or painted.

    Every problem is told by row and column. Exits with 2 when there is one. Times are assumed, not measured."""
    from packshot.catalogue.folder import read_frame, read_local
    from packshot.catalogue.plan import plan as plan_of

    frame = {**(read_frame(look) if look else {}), **frame_of(scene or [], preset or [])}
    read = read_local(manifest, frame).read
    made = plan_of(read, _costs(profile, read.manifest))
    if problems:
        _write_problems(problems, made)
    answer = _answer(made, read.manifest, read.items_total)
    _print(answer, made)
    if as_json:
        put_json(answer.model_dump(mode="json"))
    if not answer.ok:
        raise typer.Exit(REFUSED)


def frame_of(scenes: Sequence[str], presets: Sequence[str]) -> dict[str, Any]:
    """The manifest's axes and deliveries that the options ask for. Raises BadInput `bad_usage` for another form."""
    frame: dict[str, Any] = {}
    if scenes:
        pairs = [one.partition("=") for one in scenes]
        for name, equals, _ in pairs:
            if not name or not equals:
                raise BadInput(
                    "bad_usage", f"--scene must be NAME=TEXT, got {name!r}; write marble='on a marble table'"
                )
        frame["axes"] = [{"name": "scene", "values": {name: text for name, _, text in pairs}}]
    if presets:
        frame["deliver"] = [_delivery(one, len(presets)) for one in presets]
    return frame


def _delivery(text: str, of: int) -> dict[str, Any]:
    name, _, plain = text.partition("=")
    template = "{sku}-{n:02}.{ext}" if of == 1 else "{sku}-{preset}-{n:02}.{ext}"
    return {"preset": name, "name": template, **({"scene": plain} if plain else {})}


def _costs(profile: str, manifest: Manifest | None) -> Costs:
    from cluster.autoscaling import Pipeline
    from cluster.plan.rates import CPU_SECONDS
    from cluster.profiles import load_profile
    from packshot.catalogue.plan import Costs
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings

    wanted, settings = load_profile(profile), Settings()
    rates = wanted.autoscaling or Pipeline()
    engine = (manifest.defaults.engine if manifest else None) or wanted.pack or settings.pack
    return Costs(
        find_pack(engine, settings).summary(), rates.row_step_s, rates.picture_s, composed_s=CPU_SECONDS["finisher"]
    )


def _answer(made: Plan, manifest: Manifest | None, items_total: int) -> DryRunAnswer:
    from packshot.contract.catalogue import Budget, BudgetCheck, DryRunAnswer

    budget = manifest.budget if manifest else Budget()
    exceeded = manifest is not None and made.exceeds(manifest)
    return DryRunAnswer(
        ok=not made.problems,
        rows=items_total,
        shots=made.shots,
        pictures=made.pictures,
        deliveries=made.deliveries,
        device_s=round(made.device_s, 1),
        ends_at=None,
        basis="assumed",
        budget=BudgetCheck(images=budget.images, device_s=budget.device_s, exceeded=exceeded),
        problems=made.problems[:1000],
        problems_total=len(made.problems),
    )


def _print(answer: DryRunAnswer, made: Plan) -> None:
    if made.problems:
        shown = made.problems[:SHOWN_PROBLEMS]
        rows = ((one.row, one.sku, one.column, one.value, f"{one.rule} [{one.code}]", one.remedy) for one in shown)
        table(f"Problems: {answer.problems_total}", ("row", "SKU", "column", "value", "rule", "remedy"), rows)
        if answer.problems_total > SHOWN_PROBLEMS:
            stderr().print(f"{answer.problems_total - SHOWN_PROBLEMS} more: --problems FILE.csv writes them all.")
    seconds = answer.device_s
    rows_of_plan = [
        ("rows", f"{answer.rows}, {made.rows} of them without a problem in themselves"),
        ("shots", answer.shots),
        ("pictures", f"{answer.pictures}, {made.painted} of them painted"),
        ("files for channels", answer.deliveries),
        ("time on one device", (f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min") + ", assumed"),
        ("budget", "exceeded" if answer.budget.exceeded else "kept"),
    ]
    table("The catalogue's plan", ("what", "count"), rows_of_plan)


def _write_problems(path: Path, made: Plan) -> None:
    from packshot.catalogue.tables import problems_csv

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(problems_csv(made.problems))
