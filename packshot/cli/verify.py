"""`packshot verify`: ask of files whether this server made them, and what was done to them since."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from packshot.cli.console import FAILED, REFUSED, AsJson, put_json, report_errors
from packshot.cli.on_picture import client_of
from packshot.cli.options import Host, InProcess
from packshot.errors import BadInput, PackshotError

HOW = {
    "exact": "these very bytes",
    "c2pa": "its signature",
    "watermark": "its watermark",
    "fingerprint": "its pixels",
}


@report_errors
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Images to ask about.")],
    host: Host = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
) -> None:
    """Ask whether files were made here, by which shot, and what was done to them since.

    Exit code 0: all were. 1: at least one was not. 2: at least one cannot be read as an image.
    Uses the server that runs on this machine (packshot up), or else this process."""
    rows: list[dict[str, object]] = []
    worst = 0
    with client_of(host, in_process=in_process) as client:
        for file in files:
            try:
                found = client.verify(_bytes_of(file))
            except PackshotError as error:
                typer.echo(f"{file}: not read: {error.detail} [{error.code}]", err=True)
                rows.append({"path": str(file), "error": {"code": error.code, "detail": error.detail}})
                worst = max(worst, REFUSED)
                continue
            rows.append({"path": str(file), **found.model_dump(mode="json")})
            if not found.ours:
                typer.echo(f"{file}: not made here", err=True)
                worst = max(worst, FAILED)
                continue
            whose = f", {found.image_id} of {found.shot_id}" if found.image_id else ", a picture of another account"
            done = [change.detail for change in found.changed_since or ()]
            since = " ".join(done) if done else "Nothing was changed since."
            typer.echo(f"{file}: made here, by {HOW[found.match]}{whose}. {since}", err=True)
    if as_json:
        put_json({"files": rows})
    if worst:
        raise typer.Exit(worst)


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        rule = f"a file must be one that can be read, got {file}: {error.strerror}"
        raise BadInput("bad_usage", f"{rule}; correct its path") from error
