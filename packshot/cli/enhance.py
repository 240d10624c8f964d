"""`packshot enhance`: repaint the product of photos, their scene, or all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from packshot.cli.console import FAILED, AsJson, put_json, report_errors
from packshot.cli.on_picture import client_of, request_of, wait_for, write
from packshot.cli.options import AdapterIds, Engine, Host, InProcess, Negative, PicturesFolder
from packshot.cli.shot_options import read_adapters
from packshot.cli.sources import Source, find_sources
from packshot.errors import BadInput, PackshotError

if TYPE_CHECKING:
    from packshot.client import Client
    from packshot.contract.enhancements import EnhancementRequest


@report_errors
def enhance(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO...", help="Photos: files, folders or patterns.")],
    text: Annotated[
        str | None, typer.Option(help="Words that name the product. A photo that does not show it is skipped.")
    ] = None,
    not_text: Annotated[str | None, typer.Option(help="Words that name what it is not, such as `saucer`.")] = None,
    target: Annotated[str, typer.Option(help="product (its scene stays), scene (the product stays), or all.")] = (
        "product"
    ),
    prompt: Annotated[str, typer.Option(help="What the repainted part shows.")] = "",
    negative: Negative = "",
    strength: Annotated[
        float | None, typer.Option(help="0.01 to 1: how much changes; default: 0.35, scene 0.6, all 0.5.")
    ] = None,
    adapter: AdapterIds = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    engine: Engine = None,
    out: PicturesFolder = Path("out"),
    host: Host = None,
    in_process: InProcess = False,
    as_json: AsJson = False,
) -> None:
    """Repaint the product of photos, their scene, or all of them, from the photo's own pixels.

    The engine follows the product's edges, and what is no target stays the photo's, pixel for pixel. A person must
    approve a picture whose product was painted. Uses the server that runs on this machine (packshot up), or else this
    process. Exits with 1 when a photo failed; one that does not show the product is skipped."""
    from packshot.contract.enhancements import EnhancementRequest

    given: dict[str, object] = {"text": text, "not_text": not_text, "strength": strength, "engine": engine}
    given["adapters"] = read_adapters(adapter or [])
    fields = {name: value for name, value in given.items() if value is not None}
    fields |= {"target": target, "prompt": prompt, "negative_prompt": negative, "seed": seed}
    request = request_of(EnhancementRequest, fields, "enhance")
    sources = find_sources(photos)
    answers: list[dict[str, object]] = []
    with client_of(host, in_process=in_process) as client:
        for source in sources:
            answer = _one(client, source, request, out)
            typer.echo(f"packshot: {source.path}: {answer['message']}", err=True)
            answers.append(answer)
    if as_json:
        put_json({"photos": answers})
    if any(answer["state"] == "failed" for answer in answers):
        raise typer.Exit(FAILED)


def _one(client: Client, source: Source, request: EnhancementRequest, out: Path) -> dict[str, object]:
    """Repaint a photo. A failure is reported in the answer, and does not stop the other photos."""
    answer: dict[str, object] = {"photo": str(source.path)}
    try:
        photo = client.upload(source.path.read_bytes())
        accepted = client.enhance(photo.id, request)
        ended = wait_for(client, accepted.id, source.name, "the picture", "step")
        new = ended.images[0]
        file = out / f"{source.name}-{request.target}.png"
        write(file, client.download(new.url))
    except BadInput as error:
        state = "skipped" if error.code == "no_product" else "failed"
        return answer | {"state": state, "code": error.code, "message": f"{state}: {error.detail} [{error.code}]"}
    except PackshotError as error:
        return answer | {"state": "failed", "code": error.code, "message": f"failed: {error.detail} [{error.code}]"}
    except OSError as error:
        return answer | {"state": "failed", "code": "bad_usage", "message": f"failed: unreadable ({error.strerror})"}
    message = f"{file}: {new.width}x{new.height} px, {new.verdict.level}"
    return answer | {"state": "done", "path": str(file), "image": new.model_dump(mode="json"), "message": message}
