"""`packshot clip`: a short film of a finished picture, by a camera that moves before it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors
from packshot.cli.progress import Progress, waiting
from packshot.cli.servers import KEY_VARIABLE, chosen_server
from packshot.errors import BadInput, EngineFailed, StorageFull

if TYPE_CHECKING:
    from packshot.client import Event

START_TIMEOUT_S = 120.0
"""Seconds for a server that answers to have all its stages ready."""


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
    host: Annotated[str | None, typer.Option(metavar="URL", help=f"Use this server (key: {KEY_VARIABLE}).")] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Use this process, even if a server runs on this machine.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a clip of a finished picture.

    The product stays as it is, and the scene moves behind it.
    Uses the server that runs on this machine (packshot up), or else this process."""
    from pydantic import ValidationError

    from packshot.client import Client, ClipRequest
    from packshot.contract.clips import FORMATS
    from packshot.contract.events import ProgressEvent

    file = out or Path(f"{image}.webp")
    suffix = file.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise BadInput("bad_usage", f"--out must end in .webp or .mp4, got {file.name!r}; name another file")
    try:
        request = ClipRequest.model_validate(
            {"move": move, "seconds": seconds, "format": suffix} | ({} if size is None else {"size": size})
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0]
        rule = f"--{name}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}"
        raise BadInput("bad_usage", f"{rule}; see packshot clip --help") from None
    with (
        chosen_server(host, in_process=in_process) as server,
        Client(server.url, server.key, timeout_s=server.timeout_s) as client,
    ):
        with waiting(f"waiting until {server.url} is ready"):
            client.wait_ready(START_TIMEOUT_S)
        accepted = client.film(image, request)
        with Progress() as progress:

            def tell(event: Event) -> None:
                if isinstance(event.data, ProgressEvent):
                    step, steps = event.data.step, event.data.steps
                    progress.update(image, f"frame {step} of {steps}", step, steps)

            ended = client.wait(accepted.id, progress=tell)
        if ended.error is not None:
            raise EngineFailed("internal", f"the clip was not made: {ended.error.detail} [{ended.error.code}]")
        if ended.clip is None:
            raise EngineFailed("internal", f"the clip {accepted.id} ended as {ended.status}; make it again")
        write(file, client.download(ended.clip.url))
    made = ended.clip
    typer.echo(
        f"packshot: {file}: {made.move}, {made.seconds:g} s, {made.width}x{made.height} px, {made.bytes / 1e6:.1f} MB",
        err=True,
    )
    if as_json:
        put_json({"clip": made.model_dump(mode="json"), "path": str(file)})


def write(file: Path, data: bytes) -> None:
    """Write a result's file, and its folder. Raises StorageFull when it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as error:
        detail = f"{file} cannot be written: {error.strerror or error}; make room, or choose another --out"
        raise StorageFull("storage_full", detail) from error
