"""`packshot words`: which words a server would ignore, before anything is looked for or painted."""

from __future__ import annotations

from typing import Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors
from packshot.cli.on_picture import client_of
from packshot.cli.options import Host, InProcess
from packshot.errors import BadInput


@report_errors
def words(
    text: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Words that name a product, or a prompt.")],
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Read the text as a prompt. Without it the text names a product (--find).")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(help="With --prompt: an engine that the server has; default: its first.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="With --prompt: an adapter, whose trigger counts as known; repeatable."),
    ] = None,
    host: Host = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
) -> None:
    """Say which words of a text would count, and which would be ignored.

    Nothing is looked for or painted. Ignored words refuse nothing, so the exit code is 0.
    Uses the server that runs on this machine (packshot up), or else this process."""
    whole = " ".join(text)
    if not prompt and (engine is not None or adapter):
        raise BadInput("bad_usage", "--engine and --adapter are for a prompt, got them without --prompt; add --prompt")
    with client_of(host, in_process=in_process) as client:
        read = client.read_prompt(whole, engine=engine, adapters=adapter or ()) if prompt else client.read_words(whole)
    if as_json:
        put_json(read.model_dump(mode="json"))
    else:
        for title, found in (("known", read.words.known), ("unknown", read.words.unknown)):
            typer.echo(f"{title}: {', '.join(found) or 'none'}")
    for note in read.notes:
        typer.echo(f"packshot: {note.detail}", err=True)
