"""`packshot tenants`: list, weigh, gate, bound, hold and delete tenants in the settings' store, without the cluster."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from packshot.cli.budgets import DeviceSeconds, ImagesPerDay, LiveShots, NoBudget, show_or_set
from packshot.cli.console import AsJson, put_json, report_errors, stderr, table
from packshot.cli.stores import open_store
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.store.records import DeletionRecord

app = typer.Typer(
    help="List, weigh, gate, bound, hold and delete tenants.", no_args_is_help=True, rich_markup_mode=None
)

TenantId = Annotated[str, typer.Argument(metavar="ID", help="The tenant's id, as `packshot tenants list` shows it.")]


@app.command("list")
@report_errors
def list_tenants(as_json: AsJson = False) -> None:
    """List all tenants, with the reason of a legal hold."""
    with open_store() as store:
        holds = store.deletions.holds()
        rows = [
            {
                "id": tenant.id,
                "name": tenant.name,
                "weight": tenant.weight,
                "require_approval": tenant.require_approval,
                "legal_hold": holds.get(tenant.id),
            }
            for tenant in store.tenants.all()
        ]
    titles = ("id", "name", "weight", "needs approval", "legal hold")
    table("Tenants", titles, (list(row.values()) for row in rows))
    if as_json:
        put_json({"tenants": rows})


@app.command()
@report_errors
def weight(
    tenant_id: TenantId,
    value: Annotated[float, typer.Argument(metavar="WEIGHT", help="Its share, 0.01 to 100; a new tenant has 1.")],
    as_json: AsJson = False,
) -> None:
    """Set a tenant's share of the workers. With 2, it gets twice as much work done as a tenant with 1."""
    with open_store() as store:
        store.tenants.set_weight(tenant_id, value)
    stderr().print(f"{tenant_id} has weight {value:g} from the next claim on.", markup=False)
    if as_json:
        put_json({"id": tenant_id, "weight": value})


@app.command("require-approval")
@report_errors
def require_approval(
    tenant_id: TenantId,
    off: Annotated[bool, typer.Option("--off", help="Let pictures leave without an approval again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a tenant's pictures leave (presets, deliveries, archives, signed URLs) only when a person approved them."""
    with open_store() as store:
        store.tenants.set_require_approval(tenant_id, not off)
    rule = "may leave without an approval" if off else "leave only when a person has approved them"
    stderr().print(f"The pictures of {tenant_id} {rule}.", markup=False)
    if as_json:
        put_json({"id": tenant_id, "require_approval": not off})


@app.command()
@report_errors
def budget(
    tenant_id: TenantId,
    images_per_day: ImagesPerDay = None,
    device_s_per_month: DeviceSeconds = None,
    live_shots: LiveShots = None,
    none: NoBudget = False,
    as_json: AsJson = False,
) -> None:
    """Show a tenant's budgets and what is spent of them, or set them: those that are not named have no limit."""
    with open_store() as store:
        show_or_set(store, tenant_id, images_per_day, device_s_per_month, live_shots, none=none, as_json=as_json)


@app.command()
@report_errors
def delete(
    tenant_id: TenantId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Nothing brings the data back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a tenant: keys, photos, shots, images, and every file that no other tenant shares. A receipt remains."""
    if not yes and not typer.confirm(f"Delete {tenant_id} and everything that it owns?", err=True):
        raise BadInput("bad_usage", f"the deletion of {tenant_id} must be confirmed, got no; answer y, or give --yes")
    with open_store(uses_files=True) as store:
        receipt = store.deletions.delete(tenant_id, by=f"{getpass.getuser()}, packshot tenants delete"[:200])
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(receipt.counts.items())) or "nothing"
    stderr().print(f"Deleted {tenant_id}: {counts}. Receipt {receipt.tenant_sha256}.", markup=False, soft_wrap=True)
    if as_json:
        put_json(_receipt_json(receipt))


@app.command()
@report_errors
def receipts(as_json: AsJson = False) -> None:
    """List the receipts of deleted tenants, newest first."""
    found: list[DeletionRecord] = []
    with open_store() as store:
        cursor: str | None = ""
        while cursor is not None:
            page, cursor = store.deletions.receipts(cursor=cursor or None, limit=200)
            found += page
    rows = [_receipt_json(one) for one in found]
    cells = (
        (one["tenant_sha256"][:16], one["by"], one["started_at"], one["finished_at"], sum(one["counts"].values()))
        for one in rows
    )
    table("Receipts", ("SHA-256 of the id", "asked by", "began", "ended", "rows and files"), cells)
    if as_json:
        put_json({"receipts": rows})


def _receipt_json(receipt: DeletionRecord) -> dict[str, Any]:
    return {
        "tenant_sha256": receipt.tenant_sha256,
        "counts": dict(receipt.counts),
        "by": receipt.by,
        "started_at": receipt.started_at.isoformat(),
        "finished_at": receipt.finished_at.isoformat() if receipt.finished_at else None,
    }


@app.command()
@report_errors
def hold(
    tenant_id: TenantId,
    reason: Annotated[str, typer.Argument(help="Why the data must be kept, such as a case number.")],
    as_json: AsJson = False,
) -> None:
    """Put a tenant under a legal hold: it cannot be deleted, and its retention stops."""
    if not reason.strip():
        raise BadInput("bad_usage", "the reason of a legal hold must not be empty; name the case")
    with open_store() as store:
        store.deletions.hold(tenant_id, reason.strip())
    stderr().print(f"{tenant_id} is under a legal hold.", markup=False)
    if as_json:
        put_json({"id": tenant_id, "legal_hold": reason.strip()})


@app.command()
@report_errors
def release(tenant_id: TenantId, as_json: AsJson = False) -> None:
    """Lift a tenant's legal hold."""
    with open_store() as store:
        store.deletions.hold(tenant_id, None)
    stderr().print(f"{tenant_id} is under no legal hold.", markup=False)
    if as_json:
        put_json({"id": tenant_id, "legal_hold": None})
