"""`packshot keys`: manage API keys in the store that the settings name. The cluster need not run."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from packshot.cli.budgets import DeviceSeconds, ImagesPerDay, LiveShots, NoBudget, show_or_set
from packshot.cli.console import AsJson, put_json, report_errors, stderr, table
from packshot.cli.stores import open_store

app = typer.Typer(help="Create, list, bound and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
@report_errors
def create(
    tenant: Annotated[
        str, typer.Argument(help="The name of the agency or brand that owns the key. It is created if new.")
    ],
    admin: Annotated[bool, typer.Option("--admin", help="The key may also delete tenants.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it to stdout. It is shown only this once."""
    with open_store() as store:
        new = store.keys.create(tenant, admin=admin)
    stderr().print(f"Key {new.record.id} of {tenant!r}. It is shown only this once:", markup=False)
    if as_json:
        put_json({"id": new.record.id, "tenant": new.record.tenant, "key": new.secret})
    else:
        sys.stdout.write(new.secret + "\n")


@app.command("list")
@report_errors
def list_keys(as_json: AsJson = False) -> None:
    """List all keys, revoked ones included, without their secrets."""
    with open_store() as store:
        keys = store.keys.all()
    rows = [
        {
            "id": key.id,
            "tenant": key.tenant,
            "prefix": key.prefix,
            "created_at": key.created_at.isoformat(timespec="seconds"),
            "revoked_at": key.revoked_at.isoformat(timespec="seconds") if key.revoked_at else None,
            "admin": key.admin,
        }
        for key in keys
    ]
    table("Keys", ("id", "tenant", "starts with", "created", "revoked", "admin"), (list(row.values()) for row in rows))
    if as_json:
        put_json({"keys": rows})


@app.command()
@report_errors
def budget(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    images_per_day: ImagesPerDay = None,
    device_s_per_month: DeviceSeconds = None,
    live_shots: LiveShots = None,
    none: NoBudget = False,
    as_json: AsJson = False,
) -> None:
    """Show a key's budgets and what is spent of them, or set them: those that are not named have no limit."""
    with open_store() as store:
        show_or_set(store, key_id, images_per_day, device_s_per_month, live_shots, none=none, as_json=as_json)


@app.command()
@report_errors
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")], as_json: AsJson = False) -> None:
    """Revoke a key and every session made from it."""
    with open_store() as store:
        store.keys.revoke(key_id)
    stderr().print(f"Key {key_id} is revoked.", markup=False)
    if as_json:
        put_json({"id": key_id, "revoked": True})
