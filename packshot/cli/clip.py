"""`packshot clip`: a short film of a finished picture, by a camera that moves before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors
from packshot.cli.on_picture import client_of, request_of, wait_for, write
from packshot.cli.options import Host, InProcess
from packshot.errors import BadInput


@report_errors
def clip(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A finished picture's id (im_…).")],
    move: Annotated[
        str, typer.Option(help="push_in (towards the product), orbit (around it and back) or pan (past it).")
    ] = "push_in",
    seconds: Annotated[float, typer.Option(help="Its length, 1 to 8 seconds.")] = 4.0,
    size: Annotated[
        int | None, typer.Option(help="Its longer side, 64 to 1920 px; default: the picture's, at most 1080.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file: .webp, or .mp4 where the server has ffmpeg.")
    ] = None,
    host: Host = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
) -> None:
    """Make a clip of a finished picture.

    The product stays as it is, and the scene moves behind it.
    Uses the server that runs on this machine (packshot up), or else this process."""
    from packshot.client import ClipRequest
    from packshot.contract.clips import FORMATS

    file = out or Path(f"{image}.webp")
    suffix = file.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise BadInput("bad_usage", f"--out must end in .webp or .mp4, got {file.name!r}; name another file")
    fields = {"move": move, "seconds": seconds, "format": suffix} | ({} if size is None else {"size": size})
    request = request_of(ClipRequest, fields, "clip")
    with client_of(host, in_process=in_process) as client:
        made = wait_for(client, client.film(image, request).id, image, "the clip", "frame").clip
        if made is None:
            raise RuntimeError("a clip that is done has its file")
        write(file, client.download(made.url))
    typer.echo(
        f"packshot: {file}: {made.move}, {made.seconds:g} s, {made.width}x{made.height} px, {made.bytes / 1e6:.1f} MB",
        err=True,
    )
    if as_json:
        put_json({"clip": made.model_dump(mode="json"), "path": str(file)})
