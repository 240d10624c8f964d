"""`packshot shoot`: turn one photo into finished pictures through the public API.

Without `--host` the command starts a cluster of its own.

upload -> mask -> shots (one per prompt) -> events -> download
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from packshot.cli.config import DEFAULT_PROFILE
from packshot.cli.console import FAILED, AsJson, put_json, report_errors, stderr, table
from packshot.errors import BadInput
from packshot.imaging.decoding.formats import claim_of

if TYPE_CHECKING:
    from packshot.client import Client
    from packshot.contract.answers import MaskAnswer, ShotAnswer

KEY_VARIABLE = "PACKSHOT_KEY"


@report_errors
def shoot(
    photo: Annotated[Path, typer.Argument(help="A photo of the product: JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF.")],
    prompt: Annotated[list[str] | None, typer.Option(help="The scene in words; repeatable.")] = None,
    box: Annotated[str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="The product's box, in photo pixels.")] = None,
    point: Annotated[list[str] | None, typer.Option(metavar="X,Y", help="A point on the product; repeatable.")] = None,
    mask: Annotated[
        Path | None, typer.Option(metavar="PNG", help="A mask of the photo's size, white = product.")
    ] = None,
    canvas: Annotated[str, typer.Option(metavar="WxH", help="The pictures' size in pixels.")] = "1024x1024",
    images: Annotated[int, typer.Option("-n", min=1, help="Pictures per prompt.")] = 1,
    seed: Annotated[int, typer.Option(help="The first picture's seed.")] = 0,
    background: Annotated[str, typer.Option(help="generate, white, transparent or #rrggbb.")] = "generate",
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path(),
    host: Annotated[str | None, typer.Option(metavar="URL", help=f"Use this server (key: {KEY_VARIABLE}).")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn one photo into finished pictures."""
    if background == "generate" and not prompt:
        raise BadInput("bad_usage", "a generated background needs --prompt TEXT, got none; or use --background white")
    if not photo.is_file():
        raise BadInput("bad_usage", f"PHOTO must be a file, got {str(photo)!r}; check the path")
    if mask is not None and (box or point):
        raise BadInput("bad_usage", "--mask PNG replaces --box and --point, got both; leave one out")
    if mask is not None and not mask.is_file():
        raise BadInput("bad_usage", f"--mask must be a PNG file, got {str(mask)!r}; check the path")
    points = [(*_numbers(text, 2, "--point X,Y"), 1) for text in point or []]
    boxes = [_numbers(box, 4, "--box X0,Y0,X1,Y1")] if box else []
    width, height = _size(canvas)
    request = {"canvas": {"width": width, "height": height}, "background": background, "images": images, "seed": seed}

    clock = _Clock()
    with _server(host) as url:
        clock.lap("start")
        from packshot.client import Client

        with Client(url, os.environ.get(KEY_VARIABLE) if host else None) as client:
            client.wait_ready()
            media_type = claim_of(None, photo.name) or "application/octet-stream"
            uploaded = client.upload(photo.read_bytes(), media_type)
            for note in uploaded.notes:
                typer.echo(f"packshot: {photo.name}: {note.detail}", err=True)
            clock.lap("upload")
            if mask is None:
                cut = client.masks(uploaded.id, points=points, boxes=boxes)[0]
            else:
                cut = client.put_mask(uploaded.id, mask.read_bytes())
            clock.lap("mask")
            layers = [{"mask_id": cut.id}]
            shots = [client.shoot({**request, "layers": layers, "prompt": text}).id for text in prompt or [""]]
            _follow(client, shots)
            ended = [client.shot(shot) for shot in shots]
            clock.lap("shots")
            made = _save(client, zip(prompt or [""], ended, strict=True), out, photo.stem)
            _save_cutout(client, uploaded.url, cut, out, photo.stem)
            clock.lap("download")
    table(
        f"{photo.name}: {len(made)} pictures",
        ("picture", "seed", "verdict", "prompt"),
        ((row["path"], row["seed"], row["verdict"]["level"], row["prompt"]) for row in made),
    )
    failures = [_failure(shot) for shot in ended if shot.status != "done"]
    for failure in failures:
        typer.echo(f"packshot: {failure['detail']} [{failure['code']}]", err=True)
    if as_json:
        errors = {"errors": failures} if failures else {}
        notes = [note.model_dump() for note in uploaded.notes]
        put_json({"images": made, "notes": notes, "timing_ms": clock.timing_ms, **errors})
    if failures:
        raise typer.Exit(FAILED)


@contextmanager
def _server(host: str | None) -> Iterator[str]:
    """The base URL of `host`, or of a local cluster that is stopped at the end of the block."""
    if host is not None:
        if not host.startswith(("http://", "https://")):
            raise BadInput("bad_usage", f"--host must be a URL such as http://127.0.0.1:8000, got {host!r}")
        yield host
        return
    from cluster.local import serving
    from cluster.profiles import load_profile

    profile, settings = load_profile(DEFAULT_PROFILE), {"PACKSHOT_OPEN_ACCESS": "true"}
    status = stderr().status("starting a local cluster")
    with status, serving(profile, port=0, settings=settings) as url:
        status.stop()
        yield url


def _follow(client: Client, shots: list[str]) -> None:
    """Show progress bars until every shot has ended."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from packshot.contract.events import PreviewEvent, ProgressEvent, QueuedEvent

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    with Progress(*columns, console=stderr()) as progress:
        bars = {
            shot: progress.add_task(f"scene {number}", total=None, state="queued")
            for number, shot in enumerate(shots, 1)
        }
        for event in client.events(shots):
            bar = bars[event.data.shot]
            match event.data:
                case ProgressEvent(step=step, steps=steps):
                    progress.update(bar, total=steps or None, completed=step, state=f"{step}/{steps} steps")
                case QueuedEvent(position=position):
                    progress.update(bar, state=f"queued, {position} before")
                case PreviewEvent():
                    pass
                case _:
                    progress.update(bar, total=1, completed=1, state=event.name)


def _save(client: Client, shots: Iterable[tuple[str, ShotAnswer]], out: Path, stem: str) -> list[dict[str, Any]]:
    """Save the images of (prompt, shot) pairs; one row of the answer for each image."""
    out.mkdir(parents=True, exist_ok=True)
    made: list[dict[str, Any]] = []
    for prompt, shot in shots:
        for image in shot.images:
            path = out / f"{stem}-{len(made) + 1:02d}-seed{image.seed}.png"
            path.write_bytes(client.download(image.url))
            verdict = image.verdict.model_dump(mode="json")
            made.append({"path": str(path), "prompt": prompt, "seed": image.seed, "verdict": verdict})
    return made


def _save_cutout(client: Client, photo_url: str, mask: MaskAnswer, out: Path, stem: str) -> None:
    """Save the cutout, and the photo with everything outside the mask darkened."""
    from PIL import Image  # not packshot.imaging.codec: with --host, none of the server's packages are needed

    (out / f"{stem}-cutout.png").write_bytes(client.download(mask.cutout_url))
    photo = Image.open(BytesIO(client.download(photo_url))).convert("RGB")
    product = Image.open(BytesIO(client.download(mask.url))).convert("L").point(lambda value: 255 * (value >= 128))
    darkened = photo.point(lambda value: value // 4)
    Image.composite(photo, darkened, product).save(out / f"{stem}-mask.png")


def _failure(shot: ShotAnswer) -> dict[str, str]:
    code, detail = (shot.error.code, shot.error.detail) if shot.error else (shot.status, "the shot was cancelled")
    return {"shot": shot.id, "code": code, "detail": f"shot {shot.id}: {detail}"}


def _numbers(text: str, count: int, form: str) -> Any:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise BadInput("bad_usage", f"{form} must be {count} numbers separated by commas, got {text!r}")
    return numbers


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise BadInput("bad_usage", f"--canvas must be WIDTHxHEIGHT in pixels, such as 1024x1024, got {text!r}")
    return int(width), int(height)


class _Clock:
    """Measures the milliseconds of the command's steps and of all together."""

    def __init__(self) -> None:
        self.timing_ms: dict[str, float] = {}
        self._last = self._first = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.timing_ms[name] = round((now - self._last) * 1000, 1)
        self.timing_ms["total"] = round((now - self._first) * 1000, 1)
        self._last = now
