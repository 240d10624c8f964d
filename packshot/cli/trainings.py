"""`packshot trainings`: let a server train adapters on its own pictures. `packshot train` trains on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from packshot.cli.console import FAILED, AsJson, put_json, report_errors, table
from packshot.cli.on_picture import client_of, request_of, write
from packshot.cli.progress import Progress
from packshot.cli.servers import KEY_VARIABLE
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.client import Client
    from packshot.contract.trainings import TrainingAnswer

app = typer.Typer(
    help="Let a server train adapters on its approved pictures or photos, and follow, cancel and delete trainings.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Host = Annotated[str | None, typer.Option(metavar="URL", help=f"Use this server (key: {KEY_VARIABLE}).")]
TrainingId = Annotated[str, typer.Argument(metavar="ID", help="The training's id, tr_….")]
Sheet = Annotated[Path | None, typer.Option(help="Write the painted samples to this PNG at the end.")]


@app.command()
@report_errors
def start(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="lora, dreambooth or inversion.")],
    name: Annotated[str, typer.Option(help="The name of the adapter that it makes.")],
    tag: Annotated[str, typer.Option(help="The made-up word by which prompts ask for it.")] = "",
    catalogue: Annotated[str, typer.Option(metavar="ID", help="Learn from this catalogue's approved pictures.")] = "",
    project: Annotated[str, typer.Option(metavar="ID", help="Learn from this project's approved pictures.")] = "",
    image: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Learn from this approved picture; repeatable.")
    ] = None,
    photo: Annotated[list[str] | None, typer.Option(metavar="ID", help="Learn from this photo; repeatable.")] = None,
    upload: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Upload this folder's pictures, with their .txt captions.")
    ] = None,
    class_words: Annotated[str, typer.Option(help="What kind of thing a dreambooth's product is.")] = "",
    prior: Annotated[int, typer.Option(help="Pictures of its kind that a dreambooth keeps, up to 200.")] = 0,
    init_words: Annotated[str, typer.Option(help="Words from whose meaning an inversion starts.")] = "",
    rank: Annotated[int, typer.Option(help="Rank of a LoRA.")] = 8,
    repeats: Annotated[int | None, typer.Option(help="How often an epoch reads each picture.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Steps = pictures x repeats / batch x epochs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures of a step.")] = None,
    sample: Annotated[
        list[str] | None, typer.Option(help="A prompt to paint after epochs; repeatable, up to 4.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
    max_seconds: Annotated[float | None, typer.Option(help="End after so many seconds of its device.")] = None,
    licence: Annotated[str, typer.Option(help="The adapter's licence, such as an SPDX name.")] = "",
    engine: Annotated[str, typer.Option(help="The engine that is trained; default: the first that can.")] = "",
    sheet: Sheet = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait; follow it with `trainings wait`.")] = False,
    host: Host = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter on a server, from its approved pictures, its photos, or a folder that is uploaded."""
    from packshot.client import TrainingRequest

    given: dict[str, object] = {
        "kind": kind,
        "name": name,
        "tag": tag,
        "catalogue_id": catalogue,
        "project_id": project,
        "image_ids": image or [],
        "photo_ids": photo or [],
        "class_words": class_words,
        "prior": prior,
        "init_words": init_words,
        "rank": rank,
        "repeats": repeats,
        "epochs": epochs,
        "batch": batch,
        "samples": sample or [],
        "seed": seed,
        "max_seconds": max_seconds,
        "licence": licence,
        "engine": engine,
    }
    fields = {field: value for field, value in given.items() if value not in ("", [], None)}
    request_of(TrainingRequest, fields, "trainings start")  # before anything is uploaded
    with client_of(host, in_process=False) as client:
        if upload is not None:
            ids, captions = _uploaded(client, upload)
            fields |= {"photo_ids": [*(photo or []), *ids], "captions": captions}
        begun = client.trainings.create(request_of(TrainingRequest, fields, "trainings start"))
        plan = begun.plan
        typer.echo(
            f"packshot: {begun.id}: {plan.pictures} pictures x {plan.repeats} repeats / batch {plan.batch} x "
            f"{plan.epochs} epochs = {begun.steps} steps",
            err=True,
        )
        ended = begun if detach else _follow(client, begun.id, sheet)
    _report(ended, as_json=as_json)


@app.command()
@report_errors
def wait(training_id: TrainingId, sheet: Sheet = None, host: Host = None, as_json: AsJson = False) -> None:
    """Follow a training until it ends."""
    with client_of(host, in_process=False) as client:
        ended = _follow(client, training_id, sheet)
    _report(ended, as_json=as_json)


@app.command("list")
@report_errors
def list_trainings(host: Host = None, as_json: AsJson = False) -> None:
    """List the trainings of a server, newest first."""
    with client_of(host, in_process=False) as client:
        found = list(client.trainings.all())
    table(
        "Trainings",
        ("id", "name", "kind", "status", "step", "steps", "loss", "adapter"),
        (
            (one.id, one.name, one.kind, one.status, one.step, one.steps, one.loss or "", one.adapter_id or "")
            for one in found
        ),
    )
    if as_json:
        put_json({"trainings": [one.model_dump(mode="json") for one in found]})


@app.command()
@report_errors
def cancel(training_id: TrainingId, host: Host = None, as_json: AsJson = False) -> None:
    """Cancel a training. What it has learned by then becomes a partial adapter."""
    with client_of(host, in_process=False) as client:
        found = client.trainings.cancel(training_id)
    typer.echo(f"packshot: {found.id} {'ends after its step' if found.cancelling else 'is cancelled'}", err=True)
    if as_json:
        put_json({"training": found.model_dump(mode="json")})


@app.command()
@report_errors
def rm(training_id: TrainingId, host: Host = None, as_json: AsJson = False) -> None:
    """Remove a training that has ended. Its adapter stays."""
    with client_of(host, in_process=False) as client:
        client.trainings.delete(training_id)
    if as_json:
        put_json({"deleted": training_id})


def _uploaded(client: Client, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Upload a folder's pictures. Returns their ids, and the captions of those that have one."""
    from packshot.training.dataset import picture_files

    ids, captions = [], {}
    with Progress() as progress:
        files = picture_files(folder)
        for nth, path in enumerate(files):
            progress.update("upload", path.name, nth, len(files))
            photo_id = client.upload(path.read_bytes()).id
            text = path.with_suffix(".txt")
            caption = text.read_text("utf-8").strip() if text.is_file() else ""
            if photo_id in ids:
                raise BadInput("dataset_refused", f"every picture must differ, {path.name} is there twice; remove one")
            ids.append(photo_id)
            if caption:
                captions[photo_id] = caption
    return ids, captions


def _follow(client: Client, training_id: str, sheet: Path | None) -> TrainingAnswer:
    """Wait until a training ends, and write its samples."""
    with Progress() as progress:

        def show(one: TrainingAnswer) -> None:
            loss = "" if one.loss is None else f", loss {one.loss:.4f}"
            progress.update(one.id, f"{one.status}, step {one.step} of {one.steps}{loss}", one.step, one.steps)

        ended = client.trainings.wait(training_id, progress=show)
    if sheet is not None and ended.sheet_url is not None:
        write(sheet, client.download(ended.sheet_url))
    return ended


def _report(training: TrainingAnswer, *, as_json: bool) -> None:
    """Say how a training ended. Exits with FAILED unless it is under way or done."""
    if training.adapter_id is not None:
        what = f"adapter {training.adapter_id}{' (partial)' if training.partial else ''}"
        typer.echo(f"packshot: {training.id} is {training.status} after {training.step} steps: {what}", err=True)
    if training.ended is not None:
        typer.echo(f"packshot: it ended early: {training.ended}", err=True)
    if training.error is not None:
        typer.echo(f"packshot: {training.error.code}: {training.error.detail}", err=True)
    if as_json:
        put_json({"training": training.model_dump(mode="json")})
    if training.status in ("failed", "cancelled"):
        raise typer.Exit(FAILED)
