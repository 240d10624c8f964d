"""`packshot angle`: paint a product from an angle that its photos lack, by an adapter that knows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors
from packshot.cli.on_picture import client_of, request_of, wait_for, write
from packshot.cli.options import Engine, Host, InProcess, Negative, PicturesFolder
from packshot.cli.shot_options import read_adapters
from packshot.cli.sources import find_sources


@report_errors
def angle(
    views: Annotated[list[str], typer.Argument(metavar="PHOTO...", help="1 to 8 photos of the product.")],
    adapter: Annotated[
        list[str],
        typer.Option(
            metavar="ID[:SCALE]", help="The adapter that knows the product, such as ad_…; repeatable, up to 4."
        ),
    ],
    prompt: Annotated[str, typer.Option(help="The adapter's trigger, the angle, and the scene.")],
    negative: Negative = "",
    images: Annotated[int, typer.Option("--images", "-n", help="Number of pictures.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first picture.")] = 0,
    size: Annotated[int, typer.Option(help="Width and height, pixels.")] = 1024,
    engine: Engine = None,
    out: PicturesFolder = Path("out"),
    host: Host = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
) -> None:
    """Paint a product from an angle that its photos lack, by an adapter that was trained on them.

    Train it with `packshot train dreambooth`, and store it with `packshot adapters add`. The product in the pictures is
    generated: a person must compare them with the photos and approve them, and channels that take only a photographed
    product refuse them."""
    from packshot.contract.requests import ShotRequest

    def asked(photos: list[str]) -> ShotRequest:
        return request_of(ShotRequest, fields | {"product": {"mode": "generated", "views": photos}}, "angle")

    sources = find_sources(views)
    fields: dict[str, object] = {
        "prompt": prompt,
        "negative_prompt": negative,
        "images": images,
        "seed": seed,
        "canvas": {"width": size, "height": size},
        "adapters": read_adapters(adapter),
        "engine": engine,
    }
    asked([f"ph_{number}" for number in range(len(sources))])  # refuse bad options before a server starts
    with client_of(host, in_process=in_process) as client:
        photos = list(dict.fromkeys(client.upload(source.path.read_bytes()).id for source in sources))
        accepted = client.shoot(asked(photos))
        ended = wait_for(client, accepted.id, prompt, "the picture", "step")
        made = []
        for number, image in enumerate(ended.images):
            file = out / f"angle-{number + 1}.png"
            write(file, client.download(image.url))
            made.append({"path": str(file), "image": image.model_dump(mode="json")})
            message = f"{image.width}x{image.height} px, product: {image.verdict.product}, {image.verdict.level}"
            typer.echo(f"packshot: {file}: {message}", err=True)
    if as_json:
        put_json({"pictures": made})
