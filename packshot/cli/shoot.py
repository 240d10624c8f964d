"""`packshot shoot`: turn photos into finished pictures through the public API.

The server is the one that `--host` names, the one that runs on this machine, or this process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from packshot.cli.console import FAILED, AsJson, put_json, report_errors, stderr, table
from packshot.cli.options import AdapterIds, Host, InProcess
from packshot.cli.progress import Progress, waiting
from packshot.cli.references import bring_master, bring_references, require_master, require_references
from packshot.cli.results import Results, verdict_words
from packshot.cli.servers import chosen_server
from packshot.cli.shot_options import (
    Layout,
    given,
    layout_for,
    read_adapters,
    read_conditions,
    read_layout,
    read_marks,
    read_proof,
    read_reflection,
    read_relight,
    read_retry,
    read_shadow,
    read_size,
    read_style,
    shadow_for,
)
from packshot.cli.sources import Source, find_sources
from packshot.errors import BadInput, PackshotError

if TYPE_CHECKING:
    from packshot.cli.batch import Outcome
    from packshot.client import Client

START_TIMEOUT_S = 120.0
"""Seconds for a server that answers to have all its stages ready."""


@report_errors
def shoot(
    photos: Annotated[
        list[str] | None,
        typer.Argument(metavar="PHOTO…", help="Photos, folders of photos, or patterns such as 'shoes/*.jpg'."),
    ] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="The scene in words; repeatable.")] = None,
    negative: Annotated[str | None, typer.Option(help="What the scene should not contain.")] = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="X0,Y0,X1,Y1", help="The product's box, in photo pixels; repeatable.")
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y", help="A point on the product, or X,Y,0 beside it; repeatable."),
    ] = None,
    find: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Words that name the product, such as 'white mug'.")
    ] = None,
    find_not: Annotated[str | None, typer.Option(metavar="WORDS", help="Words that name what it is not.")] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="A mask of the photo's size, white = product; or a folder of them."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="A file with canvas and layers, or - for stdin (docs/operator.md)."),
    ] = None,
    canvas: Annotated[
        str | None, typer.Option(metavar="WxH", help="The pictures' size in pixels; default 1024x1024.")
    ] = None,
    images: Annotated[int | None, typer.Option("-n", min=1, help="Pictures per prompt.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The first picture's seed.")] = 0,
    background: Annotated[str, typer.Option(help="generate, white, transparent or #rrggbb.")] = "generate",
    shadow: Annotated[str | None, typer.Option(help="contact, none, cast or floating; or the API's JSON.")] = None,
    shadow_direction: Annotated[
        float | None,
        typer.Option(metavar="DEGREES", help="Where a cast shadow falls: 0 up, 90 right; default: the scene's light."),
    ] = None,
    reflection: Annotated[
        str | None, typer.Option(metavar="STRENGTH", help="Of the reflection in the ground, 0 to 1; default: none.")
    ] = None,
    relight: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Of the scene's light on the product, 0 to 1; default: none.")
    ] = None,
    style: Annotated[
        str | None, typer.Option(metavar="ID", help="A stored style, st_…; or the API's JSON. See also --reference.")
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="PHOTO", help="A picture whose style counts: a file, ph_… or im_…; repeatable, up to 8."),
    ] = None,
    palette: Annotated[
        str | None, typer.Option(metavar="COLOURS", help="The scene's colours, such as '#e8ded2,#b08968'; up to 8.")
    ] = None,
    style_strength: Annotated[
        float | None, typer.Option(min=0, max=1, help="How far the scene moves towards the style; default: 0.9.")
    ] = None,
    adapter: AdapterIds = None,
    prove_text: Annotated[
        bool, typer.Option("--prove-text", help="Compare the label's text with the photo's, line by line.")
    ] = False,
    must_read: Annotated[
        list[str] | None,
        typer.Option(metavar="WORDS", help="Words that the label must show, such as '30 ml'; repeatable."),
    ] = None,
    master: Annotated[
        str | None, typer.Option(metavar="PHOTO", help="The artwork to compare the text with: a file or ph_….")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="An engine of the server, or the pack for --in-process.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps; default: the engine's.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Weight of the prompt; default: the engine's.")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="ddim, euler, unipc, dpmpp or lcm, where the engine has it.")
    ] = None,
    control: Annotated[float | None, typer.Option(min=0, help="Weight of the edges; default: the engine's.")] = None,
    control_start: Annotated[float | None, typer.Option(min=0, max=1, help="Edges guide from this part on.")] = None,
    control_end: Annotated[float | None, typer.Option(min=0, max=1, help="Edges guide up to this part.")] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[=SCALE[,START,END]]",
            help="A further control image, such as depth or normal=0.6,0,0.8; repeatable, one of each kind.",
        ),
    ] = None,
    pose: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="People as OpenPose's JSON, for an engine that takes the condition pose."),
    ] = None,
    retry: Annotated[
        str | None,
        typer.Option(metavar="MAX[:FINDING,…]", help="Paint a picture again if a finding fails, such as 2:floating."),
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(help="Also deliver each picture to this channel, such as amazon-main; repeatable."),
    ] = None,
    priority: Annotated[str | None, typer.Option(help="interactive or catalogue; default for many photos.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path(),
    skip_done: Annotated[
        bool, typer.Option("--skip-done", help="Leave out photos whose first picture is in the folder already.")
    ] = False,
    host: Host = None,
    in_process: InProcess = False,
    cluster: Annotated[bool, typer.Option("--cluster", help="Start a cluster for this command, and stop it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn photos into finished pictures.

    Uses the server that runs on this machine (packshot up), or else this process."""
    if background == "generate" and not prompt:
        raise BadInput("bad_usage", "a generated background needs --prompt TEXT, got none; or use --background white")
    size = read_size(canvas) if canvas else None
    placed = read_layout(layout) if layout is not None else layout_for(preset or [], size)
    if size is not None and placed.canvas is not None and placed.canvas != size:
        raise BadInput("bad_usage", f"--canvas must be the layout's canvas or left out, got {canvas!r}")
    marks = read_marks(point or [], box or [], mask, find, find_not)
    sources = _sources(photos or [], layout, placed)
    request = given(
        canvas=placed.canvas or size,
        background=background,
        negative_prompt=negative,
        images=images,
        seed=seed,
        steps=steps,
        guidance_scale=guidance,
        sampler=sampler,
        control_scale=control,
        control_start=control_start,
        control_end=control_end,
        conditions=read_conditions(condition or [], pose),
        shadow=read_shadow(shadow, shadow_direction) or shadow_for(preset or [], background),
        reflection=read_reflection(reflection),
        relight=read_relight(relight),
        retry=read_retry(retry),
        style=read_style(style, reference or [], palette, style_strength),
        adapters=read_adapters(adapter or []),
        proof=read_proof(prove_text, must_read or [], master),
        engine=engine,
        priority=priority or ("catalogue" if len(sources) > 1 else None),
    )
    results = Results(out)
    wanted = [one for one in sources if not (skip_done and results.first_image(one.name, seed).exists())]
    if len(wanted) < len(sources):
        stderr().print(f"packshot: {len(sources) - len(wanted)} of {len(sources)} photos are done.", markup=False)

    from packshot.cli.batch import Batch, Order

    require_references(reference or [])
    require_master(master)
    started_at = time.perf_counter()
    pictures = len(wanted) * max(1, len(prompt or [])) * (images or 1)
    with chosen_server(host, in_process=in_process, cluster=cluster, engine=engine, pictures=pictures) as server:
        from packshot.client import Client

        with Client(server.url, server.key, timeout_s=server.timeout_s) as client:
            with waiting(f"waiting until {server.url} is ready"):
                client.wait_ready(START_TIMEOUT_S)
            ready_at = time.perf_counter()
            if background in (None, "generate"):
                _print_ignored_words(client, prompt or [], engine, [one["id"] for one in request.get("adapters", [])])
            if reference:
                request["style"]["references"] = bring_references(client, reference)
            if master is not None:
                request["proof"]["master"] = bring_master(client, master)
            order = Order(request, tuple(prompt or [""]), marks, placed, tuple(preset or ()))
            with Progress() as progress:
                outcomes = Batch(client, order, results).run(wanted, progress)
    timing_ms = {"start": _ms(ready_at - started_at), **_laps(outcomes), "total": _ms(time.perf_counter() - started_at)}
    _report(outcomes, timing_ms, as_json=as_json)


def _print_ignored_words(client: Client, prompts: Sequence[str], engine: str | None, adapters: Sequence[str]) -> None:
    """Print the words of prompts that the engine leaves out, before it paints. The shot itself reports refusals."""
    for text in dict.fromkeys(prompts):
        try:
            notes = client.read_prompt(text, engine=engine, adapters=adapters).notes if text.strip() else ()
        except PackshotError:  # such as an older server
            return
        for note in notes:
            typer.echo(f"packshot: prompt {text[:60]!r}: {note.detail}", err=True)


def _sources(photos: Sequence[str], layout: str | None, placed: Layout) -> list[Source]:
    if placed.needs_photo:
        if not photos:
            raise BadInput("bad_usage", "a PHOTO is needed, got none; name a file, a folder or a pattern")
        return find_sources(photos)
    if photos:
        raise BadInput("bad_usage", "every layer of --layout names its product, so PHOTO must be left out")
    name = Path(layout).stem if layout and layout != "-" and not layout.lstrip().startswith("{") else "shot"
    return [Source(Path(layout or name), name)]


def _report(outcomes: Sequence[Outcome], timing_ms: dict[str, float], *, as_json: bool) -> None:
    """Print the table, the failures and the JSON. Raises the error of a single photo, or typer.Exit."""
    if len(outcomes) == 1 and outcomes[0].error is not None:
        raise outcomes[0].error
    made = [row for outcome in outcomes for row in outcome.images]
    for outcome in outcomes:
        for note in outcome.notes:
            typer.echo(f"packshot: {outcome.source.path.name}: {note['detail']}", err=True)
    done = sum(outcome.ok for outcome in outcomes)
    photos = (
        f"{done} of {len(outcomes)} photos done"
        if len(outcomes) > 1
        else "".join(outcome.source.path.name for outcome in outcomes)
    )
    table(
        f"{photos}: {len(made)} picture{'' if len(made) == 1 else 's'}",
        ("picture", "seed", "verdict", "prompt"),
        ((row["path"], row["seed"], verdict_words(row["verdict"]), row["prompt"]) for row in made),
    )
    errors = [{"photo": str(outcome.source.path), **error} for outcome in outcomes for error in _errors(outcome)]
    if len(outcomes) > 1:
        for error in errors:
            typer.echo(f"packshot: {error['photo']}: {error['detail']} [{error['code']}]", err=True)
    left = sum(outcome.not_tried for outcome in outcomes)
    if left:
        typer.echo(
            f"packshot: stopped; {left} photos were not tried. Everything that was made is kept. "
            "The same command with --skip-done goes on from here.",
            err=True,
        )
    if as_json:
        notes = [{"photo": str(outcome.source.path), **note} for outcome in outcomes for note in outcome.notes]
        answer: dict[str, Any] = {"images": made, "notes": notes, "timing_ms": timing_ms}
        put_json(answer | ({"errors": errors} if errors else {}) | ({"not_tried": left} if left else {}))
    if errors or left:
        raise typer.Exit(FAILED)


def _errors(outcome: Outcome) -> list[dict[str, str]]:
    error = outcome.error
    return [*outcome.failures, *([{"code": error.code, "detail": error.detail}] if error is not None else [])]


def _laps(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The milliseconds of each step, of all photos together. Photos overlap, so they may add up to more than all."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.seconds)
    return {name: _ms(sum(outcome.seconds.get(name, 0.0) for outcome in outcomes)) for name in names}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
