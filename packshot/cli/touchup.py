"""`packshot touchup`: paint a part of a finished picture anew, or make it larger."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors
from packshot.cli.on_picture import client_of, request_of, wait_for, write
from packshot.cli.options import Host, InProcess
from packshot.errors import BadInput

SIDES = ("left", "top", "right", "bottom")


@report_errors
def touchup(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A finished picture's id (im_…).")],
    mask: Annotated[
        Path | None, typer.Option(help="A PNG of the picture's size: 255, or opaque, = paint anew.")
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Paint this box anew, pixels; may be repeated.")
    ] = None,
    grow: Annotated[
        str | None, typer.Option(metavar="LEFT,TOP,RIGHT,BOTTOM", help="Make the picture larger, pixels a side.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What to paint there; default: the scene's own prompt.")] = None,
    negative: Annotated[str | None, typer.Option(help="What not to paint; default: the scene's own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; default: one that the picture has not used.")] = None,
    strength: Annotated[float, typer.Option(help="1 paints from nothing; less keeps more of what is there.")] = 1.0,
    product: Annotated[
        bool, typer.Option("--product", help="The product too may change; a person must then approve the picture.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The PNG to write; default: the new id.")] = None,
    host: Host = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
) -> None:
    """Paint a part of a finished picture anew, or make it larger.

    All other pixels stay, and so does the product. The result is the picture's next version.
    Uses the server that runs on this machine (packshot up), or else this process."""
    from packshot.contract.touchups import MarginsIn, TouchupRequest

    boxes = [_numbers(text, "--box", "X0,Y0,X1,Y1") for text in box or []]
    margins = None if grow is None else dict(zip(SIDES, _numbers(grow, "--grow", "LEFT,TOP,RIGHT,BOTTOM"), strict=True))
    fields: dict[str, object] = {"prompt": prompt, "negative_prompt": negative, "seed": seed}
    fields = {name: value for name, value in fields.items() if value is not None}
    try:
        data = None if mask is None else base64.b64encode(mask.read_bytes()).decode()
    except OSError as error:
        raise BadInput("bad_usage", f"--mask must be a file that can be read, got {mask}: {error.strerror}") from error
    if data is not None:
        fields["mask"] = data
    if margins is None:
        fields["strength"] = strength
    else:
        fields["canvas"] = request_of(MarginsIn, margins, "touchup")
    if product:
        fields["product"] = True
    request = request_of(TouchupRequest, fields, "touchup")
    with client_of(host, in_process=in_process) as client:
        if boxes:
            shown = client.image(image)
            request = request.model_copy(update={"marks": [_mark(one, shown.width, shown.height) for one in boxes]})
        ended = wait_for(client, client.touch_up(image, request).id, image, "the touch-up", "step")
        new = ended.images[0]
        file = out or Path(f"{new.id}.png")
        write(file, client.download(new.url))
    typer.echo(f"packshot: {file}: version {new.version}, {new.width}x{new.height} px, {new.verdict.level}", err=True)
    if as_json:
        put_json({"image": new.model_dump(mode="json"), "path": str(file)})


def _numbers(text: str, option: str, form: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(SIDES):
        rule = f"{option} must be {form} in whole pixels, got {text!r}"
        raise BadInput("bad_usage", f"{rule}; see packshot touchup --help")
    return numbers


def _mark(box: list[int], width: int, height: int) -> object:
    from packshot.contract.reviews import MarkIn

    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        rule = f"--box must lie in the picture of {width} x {height} px, got {','.join(map(str, box))}"
        raise BadInput("bad_usage", f"{rule}; give its left, top, right and bottom in pixels")
    across, down = max(1, width - 1), max(1, height - 1)
    return MarkIn(kind="rect", points=[(x0 / across, y0 / down), ((x1 - 1) / across, (y1 - 1) / down)])
