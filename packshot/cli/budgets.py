"""The budgets of tenants and keys, for `packshot tenants budget` and `packshot keys budget`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from packshot.cli.console import put_json, table
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.store.budgets import BudgetName
    from packshot.store.store import Store

ImagesPerDay = Annotated[int | None, typer.Option(help="Pictures of a day (UTC).")]
DeviceSeconds = Annotated[float | None, typer.Option(help="Device-seconds of a calendar month (UTC).")]
LiveShots = Annotated[int | None, typer.Option(help="Shots that may wait or run at once.")]
NoBudget = Annotated[bool, typer.Option("--none", help="Remove every limit.")]


def show_or_set(
    store: Store,
    owner_id: str,
    images_per_day: int | None,
    device_s_per_month: float | None,
    live_shots: int | None,
    *,
    none: bool,
    as_json: bool,
) -> None:
    """Set the budgets of a tenant or key if any is named, or remove them with `none`; then show what is spent of them.

    Raises BadInput when a limit is not above 0, or is named together with `none`, and NotFound for an unknown owner.
    """
    limits: dict[BudgetName, float | None] = {
        "images_per_day": images_per_day,
        "device_s_per_month": device_s_per_month,
        "live_shots": live_shots,
    }
    named = [name for name, limit in limits.items() if limit is not None]
    if named and none:
        rule = f"--none removes every limit, got it together with {', '.join(named)}; leave one of them out"
        raise BadInput("bad_usage", rule)
    if named or none:
        store.budgets.set(owner_id, limits)
    found = store.budgets.get(owner_id)
    rows = [
        {
            "budget": one.name,
            "limit": one.limit,
            "spent": round(one.spent, 3),
            "resets_at": one.resets_at.isoformat() if one.resets_at else None,
        }
        for one in found
    ]
    table(f"Budgets of {owner_id}", ("budget", "limit", "spent", "resets at"), (list(row.values()) for row in rows))
    if as_json:
        put_json({"id": owner_id, "budgets": rows})
