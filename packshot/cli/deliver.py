"""`packshot deliver`: channels' files of finished pictures; the engine paints the sides that a frame adds, if asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from packshot.cli.console import FAILED, AsJson, put_json, report_errors
from packshot.cli.on_picture import client_of, request_of, write
from packshot.cli.options import Host, InProcess
from packshot.cli.progress import waiting
from packshot.errors import PackshotError

if TYPE_CHECKING:
    from packshot.client import Client, DeliverIn


@report_errors
def deliver(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Finished pictures' ids (im_…).")],
    preset: Annotated[list[str], typer.Option(help="A channel's preset, such as amazon-main; repeatable.")],
    reframe: Annotated[
        bool,
        typer.Option("--reframe", help="Where a channel needs another frame, paint the sides that a scene lacks."),
    ] = False,
    shadow: Annotated[
        str | None, typer.Option(help="contact, none, cast or floating, of a picture on a plain background.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="The files' names, such as `{sku}-{preset}.{ext}`.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the files.")] = Path("out"),
    host: Host = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
) -> None:
    """Make channels' files of finished pictures.

    Nothing is cropped. A scene in another frame than the channel's is refused, unless --reframe lets the engine paint
    the missing sides; all pixels of the picture stay, and a person may have to approve the larger picture.
    Uses the server that runs on this machine (packshot up), or else this process. Exits with 1 when a file failed."""
    from packshot.client import DeliverIn

    given = {"shadow": shadow, "name": name, "reframe": "paint" if reframe else None}
    fields: dict[str, object] = {field: value for field, value in given.items() if value is not None}
    entries = [request_of(DeliverIn, {"preset": one, **fields}, "deliver") for one in preset]
    rows: list[dict[str, object]] = []
    with client_of(host, in_process=in_process) as client:
        for image in images:
            for entry in entries:
                row = _one(client, image, entry, out)
                typer.echo(f"packshot: {image}: {row['message']}", err=True)
                rows.append(row)
    if as_json:
        put_json({"files": rows})
    if any(row["state"] == "failed" for row in rows):
        raise typer.Exit(FAILED)


def _one(client: Client, image: str, entry: DeliverIn, out: Path) -> dict[str, object]:
    """Make and fetch one file. A refusal is reported in the row, and does not stop the other files."""
    row: dict[str, object] = {"image": image, "preset": entry.preset}
    try:
        with waiting(f"making {entry.preset} of {image}"):
            [made] = client.deliver(image, [entry])
            data = client.download(made.url)
    except PackshotError as error:
        message = f"not delivered to {entry.preset}: {error.detail.removeprefix('deliver[0]: ')} [{error.code}]"
        if error.code == "not_served" and entry.reframe is None:
            message += "; add --reframe"
        return row | {"state": "failed", "code": error.code, "message": message}
    write(out / made.name, data)
    changes = "".join(f"; {change}" for change in made.changes)
    message = f"{out / made.name}: {made.width}x{made.height} px{changes}"
    return row | {
        "state": "done",
        "path": str(out / made.name),
        "file": made.model_dump(mode="json"),
        "message": message,
    }
