"""`packshot train approved`: the pictures that people approved, as the dataset of a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors, stderr
from packshot.cli.on_picture import client_of
from packshot.cli.servers import KEY_VARIABLE
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.client import Client
    from packshot.contract.answers import ImageAnswer, ShotAnswer


@report_errors
def approved(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the dataset is written.")],
    catalogue: Annotated[str, typer.Option(metavar="ID", help="Only the pictures of this catalogue.")] = "",
    project: Annotated[str, typer.Option(metavar="ID", help="Only the pictures of this project.")] = "",
    host: Annotated[str | None, typer.Option(metavar="URL", help=f"The server (key: {KEY_VARIABLE}).")] = None,
    as_json: AsJson = False,
) -> None:
    """Download the pictures that people approved, each with its prompt as the caption, and resume if it was cut off."""
    if catalogue and project:
        raise BadInput("bad_usage", "--catalogue and --project choose the pictures both; leave one out")
    written: list[Path] = []
    with client_of(host, in_process=False) as client:
        folder.mkdir(parents=True, exist_ok=True)
        for shot, image in _approved(client, catalogue, project):
            path = folder / f"{image.id}.png"
            if not path.exists():
                partial = path.with_suffix(".part")
                partial.write_bytes(client.download(image.url))
                partial.replace(path)
            text = path.with_suffix(".txt")
            if not text.exists():  # people may have corrected it
                text.write_text(f"{shot.request.prompt}\n", "utf-8")
            written.append(path)
    stderr().print(f"packshot: {len(written)} approved pictures in {folder}", markup=False, soft_wrap=True)
    if not written:
        raise BadInput("dataset_refused", "a dataset needs approved pictures, got none; approve some in the studio")
    if as_json:
        put_json({"pictures": [str(path) for path in written]})


def _approved(client: Client, catalogue: str, project: str) -> Iterator[tuple[ShotAnswer, ImageAnswer]]:
    """The approved pictures that no newer version replaced, with their shots."""
    if catalogue:
        ids = [one.shot_id for row in client.catalogues.rows(catalogue) for one in row.shots]
        shots: Iterator[ShotAnswer] = (client.shot(shot_id) for shot_id in ids)
    else:
        shots = client.shots(review="approved", project_id=project or None)
    for shot in shots:
        for image in shot.images:
            if image.review == "approved" and image.superseded_by is None:
                yield shot, image
