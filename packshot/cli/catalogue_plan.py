"""The plan that `packshot catalogue plan` makes without a server, and how the plan of any server is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packshot.cli.console import stderr, table

if TYPE_CHECKING:
    from packshot.catalogue.plan import Costs, Plan
    from packshot.contract.catalogue import DryRunAnswer, Manifest, RowProblem

__all__ = [
    "SHOWN_PROBLEMS",
    "answer_of",
    "costs_of",
    "print_plan",
    "print_problems",
    "print_warnings",
    "write_problems",
]

SHOWN_PROBLEMS = 20
"""The most problems, warnings or rows that are printed."""


def costs_of(profile: str, manifest: Manifest | None) -> Costs:
    """What pictures and files cost by a profile's times, for the manifest's engine or else the profile's."""
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


def answer_of(made: Plan, manifest: Manifest | None, items_total: int) -> DryRunAnswer:
    """The answer that a server would give, with assumed times. `items_total` counts the manifest's rows."""
    from packshot.contract.catalogue import Budget, BudgetCheck, DryRunAnswer

    budget = manifest.budget if manifest else Budget()
    exceeded = manifest is not None and made.exceeds(manifest)
    return DryRunAnswer(
        ok=not made.problems,
        rows=items_total,
        searched=made.searched,
        shots=made.shots,
        pictures=made.pictures,
        deliveries=made.deliveries,
        device_s=round(made.device_s, 1),
        ends_at=None,
        basis="assumed",
        budget=BudgetCheck(images=budget.images, device_s=budget.device_s, exceeded=exceeded),
        problems=made.problems[:1000],
        problems_total=len(made.problems),
        warnings=made.warnings,
    )


def print_plan(answer: DryRunAnswer) -> None:
    """Print problems, warnings and the counts of a plan to stderr."""
    if answer.problems:
        print_problems(answer.problems, answer.problems_total)
    print_warnings(answer)
    time = f"{answer.device_s:.1f} s" if answer.device_s < 60 else f"{answer.device_s / 60:.1f} min"
    most = "up to " if answer.searched or answer.problems else ""
    rows_of_plan = [
        ("rows", answer.rows),
        ("rows found by words, else skipped", answer.searched),
        ("shots", f"{most}{answer.shots}"),
        ("pictures", f"{most}{answer.pictures}"),
        ("files for channels", f"{most}{answer.deliveries}"),
        ("time on one device", f"{time}, {answer.basis}"),
        ("budget", "exceeded" if answer.budget.exceeded else "kept"),
    ]
    table("The catalogue's plan", ("what", "count"), rows_of_plan)


def print_warnings(answer: DryRunAnswer) -> None:
    """Print the first warnings to stderr."""
    for one in answer.warnings[:SHOWN_PROBLEMS]:
        where = f"row {one.row}, {one.column}" if one.row is not None else one.column
        stderr().print(f"warning: {where} is {one.value}: {one.rule}. {one.remedy}", markup=False)
    if len(answer.warnings) > SHOWN_PROBLEMS:
        stderr().print(f"{len(answer.warnings) - SHOWN_PROBLEMS} more warnings: `plan --json` prints them all.")


def print_problems(problems: Sequence[RowProblem], total: int) -> None:
    """Print the first problems of `total` as a table on stderr."""
    shown = problems[:SHOWN_PROBLEMS]
    rows = ((one.row, one.sku, one.column, one.value, f"{one.rule} [{one.code}]", one.remedy) for one in shown)
    table(f"Problems: {total}", ("row", "SKU", "column", "value", "rule", "remedy"), rows)
    if total > SHOWN_PROBLEMS:
        stderr().print(f"{total - SHOWN_PROBLEMS} more: `plan --problems FILE.csv` writes them all.")


def write_problems(path: Path, found: Sequence[RowProblem]) -> None:
    """Write all problems to a CSV file."""
    from packshot.catalogue.tables import problems_csv

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(problems_csv(found))
