"""Options that several commands share, each written once: which server, which engine, where the pictures go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from packshot.cli.servers import KEY_VARIABLE

__all__ = ["AdapterIds", "Engine", "Host", "InProcess", "Negative", "PicturesFolder"]

Host = Annotated[str | None, typer.Option("--host", metavar="URL", help=f"Use this server (key: {KEY_VARIABLE}).")]
InProcess = Annotated[
    bool, typer.Option("--in-process", help="Use this process, even if a server runs on this machine.")
]
Engine = Annotated[str | None, typer.Option("--engine", help="An engine that the server has; default: its first.")]
PicturesFolder = Annotated[Path, typer.Option("--out", "-o", help="The folder of the pictures.")]
Negative = Annotated[str, typer.Option("--negative", help="What the pictures should not show.")]
AdapterIds = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter", metavar="ID[:SCALE]", help="An adapter of the server, such as ad_…:0.8; repeatable, up to 4."
    ),
]
