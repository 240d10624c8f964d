"""`packshot adapters`: add, list and remove the LoRAs and textual inversions of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors, table
from packshot.cli.on_picture import client_of
from packshot.cli.servers import KEY_VARIABLE
from packshot.errors import BadInput

app = typer.Typer(
    help="Add, list and remove adapters: LoRAs and textual inversions.", no_args_is_help=True, rich_markup_mode=None
)

Host = Annotated[str | None, typer.Option(metavar="URL", help=f"Use this server (key: {KEY_VARIABLE}).")]


@app.command()
@report_errors
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors file of a LoRA or an inversion.")],
    name: Annotated[str | None, typer.Option(help="Its name; default: the file's name.")] = None,
    licence: Annotated[str | None, typer.Option(help="Its licence, such as an SPDX name; default: the file's.")] = None,
    trigger: Annotated[str | None, typer.Option(help="The word of prompts for it; default: the file's.")] = None,
    trained_from: Annotated[str | None, typer.Option(help="What it was trained from; default: the file's.")] = None,
    engine: Annotated[str | None, typer.Option(help="The engine for which it is; default: the first.")] = None,
    host: Host = None,
    as_json: AsJson = False,
) -> None:
    """Add an adapter to a server. Only safetensors is read, because a pickle can run code."""
    if not file.is_file():
        raise BadInput("bad_usage", f"FILE must be a .safetensors file, got {str(file)!r}; check the path")
    with client_of(host, in_process=False) as client:
        added = client.add_adapter(
            file.read_bytes(),
            name or file.stem,
            licence=licence,
            trigger=trigger,
            trained_from=trained_from,
            engine=engine,
        )
    typer.echo(f"packshot: {added.id}: {added.kind} of rank {added.rank} for {added.family}, {added.name!r}", err=True)
    for note in added.notes:
        typer.echo(f"packshot: note: {note.detail}", err=True)
    if as_json:
        put_json({"adapter": added.model_dump(mode="json")})


@app.command("list")
@report_errors
def list_adapters(host: Host = None, as_json: AsJson = False) -> None:
    """List the adapters of a server, newest first."""
    with client_of(host, in_process=False) as client:
        found = list(client.adapters())
    table(
        "Adapters",
        ("id", "name", "kind", "family", "rank", "trigger", "licence", "bytes"),
        ((one.id, one.name, one.kind, one.family, one.rank, one.trigger, one.licence, one.bytes) for one in found),
    )
    if as_json:
        put_json({"adapters": [one.model_dump(mode="json") for one in found]})


@app.command()
@report_errors
def rm(
    adapter_id: Annotated[str, typer.Argument(metavar="ID", help="The adapter's id, ad_….")],
    host: Host = None,
    as_json: AsJson = False,
) -> None:
    """Remove an adapter. Pictures that were made with it stay; one that is in use is refused."""
    with client_of(host, in_process=False) as client:
        client.delete_adapter(adapter_id)
    if as_json:
        put_json({"deleted": adapter_id})
