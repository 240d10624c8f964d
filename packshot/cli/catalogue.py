"""`packshot catalogue`: many SKUs with one look, from a sheet or a manifest to delivered files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from packshot.cli.catalogue_plan import (
    SHOWN_PROBLEMS,
    answer_of,
    costs_of,
    print_plan,
    print_problems,
    print_warnings,
    write_problems,
)
from packshot.cli.console import FAILED, REFUSED, AsJson, put_json, report_errors, stderr, table
from packshot.cli.progress import Progress, waiting
from packshot.cli.servers import KEY_VARIABLE, Server, chosen_server
from packshot.errors import BadInput

if TYPE_CHECKING:
    from packshot.catalogue.folder import LocalCatalogue
    from packshot.cli.catalogue_run import CatalogueRun
    from packshot.client import Client, ManifestFile
    from packshot.contract.catalogue import RowProblem
    from packshot.contract.catalogue_answers import CatalogueAnswer, RowAnswer

START_TIMEOUT_S = 120.0
"""Seconds for a server that answers to have all its stages ready."""

app = typer.Typer(
    help="Catalogues: many SKUs with one look, from a sheet to delivered files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Source = Annotated[
    Path,
    typer.Argument(metavar="MANIFEST", help="A manifest (YAML, JSON), a sheet (CSV), or a folder of one or of photos."),
]
Which = Annotated[str, typer.Argument(metavar="MANIFEST", help="What was given to `run`, or a catalogue's id (ct_…).")]
Frame = Annotated[
    Path | None, typer.Option("--look", help="A manifest without items (YAML, JSON), for a sheet or for photos.")
]
Scenes = Annotated[
    list[str] | None,
    typer.Option("--scene", metavar="NAME=TEXT", help="A scene; repeatable. For a sheet or a folder of photos."),
]
Presets = Annotated[
    list[str] | None,
    typer.Option("--preset", help="A channel's preset; NAME=white delivers one plain picture a SKU; repeatable."),
]
Style = Annotated[str | None, typer.Option(metavar="ST", help="A style's id, st_…, for all painted scenes.")]
Adapters = Annotated[
    list[str] | None,
    typer.Option("--adapter", metavar="ID[:SCALE]", help="An adapter for all painted scenes; repeatable, up to 4."),
]
Host = Annotated[str | None, typer.Option(metavar="URL", help=f"Use this server (key: {KEY_VARIABLE}).")]
Out = Annotated[Path, typer.Option(help="Folder for the files.")]
OnProblem = Annotated[
    str, typer.Option("--on-problem", metavar="skip", help="skip: leave rows with problems out, and say so.")
]
DELIVERED = Path("delivered")


@app.callback()
def _group() -> None:
    """Catalogues: many SKUs with one look, from a sheet to delivered files."""


@app.command()
@report_errors
def plan(
    manifest: Source,
    look: Frame = None,
    scene: Scenes = None,
    preset: Presets = None,
    style: Style = None,
    adapter: Adapters = None,
    profile: Annotated[str, typer.Option(help="The profile whose device's times the estimate takes.")] = "laptop",
    problems: Annotated[Path | None, typer.Option(help="Write all problems to this CSV file.")] = None,
    host: Host = None,
    as_json: AsJson = False,
) -> None:
    """Check a catalogue and count what it would make. Nothing is uploaded, stored or painted.

    Every problem is listed by row and column. Exits with 2 when there is one. Without --host no server is needed, and
    times are assumed; a server knows its own URLs, photos and times."""
    from packshot.catalogue.small_photos import warned

    local = _read(manifest, look, scene, preset, style, adapter, here=host is None)
    if host is not None:
        with _client(host) as (client, _):
            answer = client.catalogues.plan(_manifest_file(local))
        found = _together(answer.problems, local.read.problems)
        more = len(found) - len(answer.problems)
        total = answer.problems_total + more
        answer = answer.model_copy(update={"ok": not total, "problems": tuple(found[:1000]), "problems_total": total})
    else:
        from packshot.catalogue.plan import plan as plan_of

        made = plan_of(local.read, costs_of(profile, local.read.manifest))
        found = list(made.problems)
        answer = answer_of(made, local.read.manifest, local.read.items_total)
    answer = warned(answer, local)
    if problems:
        write_problems(problems, found)
    print_plan(answer)
    if as_json:
        put_json(answer.model_dump(mode="json"))
    if not answer.ok:
        raise typer.Exit(REFUSED)


@app.command()
@report_errors
def run(
    manifest: Source,
    look: Frame = None,
    scene: Scenes = None,
    preset: Presets = None,
    style: Style = None,
    adapter: Adapters = None,
    host: Host = None,
    out: Out = DELIVERED,
    on_problem: OnProblem = "refuse",
    as_json: AsJson = False,
) -> None:
    """Make a catalogue: check it, send its photos, paint it, and fetch its files.

    A run that was stopped goes on when it is started again with the same folder. Exits with 2 when the manifest is
    refused, and with 1 when rows failed."""
    if on_problem not in ("refuse", "skip"):
        raise BadInput("bad_usage", f"--on-problem must be skip, or left out, got {on_problem!r}")
    local = _read(manifest, look, scene, preset, style, adapter, here=False)
    with _client(host) as (client, server), Progress() as progress:
        from packshot.catalogue.small_photos import warned
        from packshot.cli.catalogue_run import CatalogueRun

        one = CatalogueRun(client, server.url, out, progress)
        planned = warned(client.catalogues.plan(_manifest_file(local)), local)
        found = _together(planned.problems, local.read.problems)
        if found:
            print_problems(found, planned.problems_total + len(found) - len(planned.problems))
            if on_problem != "skip":
                raise BadInput("manifest_refused", "every row must be sound; correct them, or use --on-problem skip")
        print_warnings(planned)
        skip = on_problem == "skip"
        made = one.make(_manifest_file(local, skip=skip), manifest, skip=skip)
        progress.print(f"catalogue {made.id}: {made.rows} rows, {planned.pictures} pictures")
        one.upload(made, local.folder)
        if made.state in ("draft", "paused"):
            one.start(made)
        _finish(one, made.id, out, as_json)


@app.command()
@report_errors
def status(which: Which, host: Host = None, out: Out = DELIVERED, as_json: AsJson = False) -> None:
    """Say how far a catalogue is, and which rows failed. Exits with 1 when rows failed."""
    catalogue_id = _id_of(which, out)
    with _client(host) as (client, server), Progress() as progress:
        from packshot.cli.catalogue_run import CatalogueRun

        one = CatalogueRun(client, server.url, out, progress)
        _report(client.catalogues.get(catalogue_id), one, [], as_json)


@app.command()
@report_errors
def retry(which: Which, host: Host = None, out: Out = DELIVERED, as_json: AsJson = False) -> None:
    """Open a catalogue's failed rows again, follow it, and fetch its files. Exits with 1 when rows failed again."""
    catalogue_id = _id_of(which, out)
    with _client(host) as (client, server), Progress() as progress:
        from packshot.cli.catalogue_run import CatalogueRun

        one = CatalogueRun(client, server.url, out, progress)
        one.retry(catalogue_id)
        _finish(one, catalogue_id, out, as_json)


@app.command()
@report_errors
def fetch(
    which: Which,
    host: Host = None,
    out: Out = DELIVERED,
    feed: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Also write a feed: google-merchant, meta, shopify, amazon; repeatable."),
    ] = None,
    published_at: Annotated[
        str, typer.Option(metavar="URL", help="For feeds: the https folder in which the files are public.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fetch the files that a catalogue has delivered so far, its manifest as it came out, and feeds."""
    from packshot.catalogue.feeds import FEEDS

    wanted = [(kind, FEEDS[kind]) for kind in FEEDS if kind in (feed or [])]
    if len(wanted) < len(set(feed or [])) or (wanted and not published_at):
        rule = f"--feed must be one of {', '.join(FEEDS)}, with --published-at URL"
        raise BadInput("bad_usage", f"{rule}, got {feed} at {published_at!r}")
    catalogue_id = _id_of(which, out)
    with _client(host) as (client, server), Progress() as progress:
        from packshot.cli.catalogue_run import CatalogueRun

        one = CatalogueRun(client, server.url, out, progress)
        files = one.fetch(catalogue_id)
        for kind, about in wanted:
            path = out / f"feed-{kind}.{about.suffix}"
            client.catalogues.save_feed(catalogue_id, kind, path, published_at=published_at)
            files.append(path)
    stderr().print(f"packshot: {len(files)} files are in {out}", markup=False, soft_wrap=True)
    if as_json:
        put_json({"id": catalogue_id, "files": [str(path) for path in files]})


def _read(
    manifest: Path,
    look: Path | None,
    scene: Sequence[str] | None,
    preset: Sequence[str] | None,
    style: str | None = None,
    adapter: Sequence[str] | None = None,
    *,
    here: bool,
) -> LocalCatalogue:
    """The catalogue on this machine. `here`: its URLs must be those that this machine's settings allow."""
    from packshot.catalogue.folder import read_frame, read_local
    from packshot.catalogue.manifest import frame_of
    from packshot.catalogue.places import Allowed
    from packshot.settings import Settings

    frame = frame_of(scene or [], preset or [], style or "", adapter or [], read_frame(look) if look else {})
    return read_local(manifest, frame, Allowed.by(Settings()) if here else None)


def _manifest_file(local: LocalCatalogue, *, skip: bool = False) -> ManifestFile:
    """What is sent: the manifest as it is, so that the server's rows are the sheet's, and the look of a sheet.

    With `skip` also which files are here, if some are not, so that the server leaves the rows of the others out.
    """
    import json

    from packshot.client import ManifestFile

    lacks = any(one.code == "photo_missing" for one in local.read.problems)
    photos = local.files_at_hand() if skip and lacks else None
    look = json.dumps(dict(local.frame)).encode() if local.media_type == "text/csv" else None
    return ManifestFile(local.data, local.media_type, look=look, photos=photos)


def _together(of_server: Sequence[RowProblem], local: Sequence[RowProblem]) -> list[RowProblem]:
    """The server's problems, and those that only this machine knows: files that are not there."""
    files = [one for one in local if one.code == "photo_missing"]
    return sorted([*of_server, *files], key=lambda one: one.row or 0)


def _id_of(which: str, out: Path) -> str:
    """The catalogue's id: `which` itself, or the one that `run` made of this manifest."""
    if which.startswith("ct_"):
        return which
    from packshot.cli.catalogue_run import remembered

    known = remembered(out)
    if known is None or known.source != str(Path(which).resolve()):
        rule = f"{out} must hold what `packshot catalogue run {which}` made"
        raise BadInput("bad_usage", f"{rule}, it does not; name the --out of that run, or the catalogue's id")
    return known.id


@contextmanager
def _client(host: str | None) -> Iterator[tuple[Client, Server]]:
    """A client of the named server, of the one that runs here, or of a cluster of its own."""
    from packshot.client import Client

    with (
        chosen_server(host, own_cluster=True) as server,
        Client(server.url, server.key, timeout_s=server.timeout_s) as client,
    ):
        with waiting("waiting until every stage is ready"):
            client.wait_ready(START_TIMEOUT_S)
        yield client, server


def _finish(one: CatalogueRun, catalogue_id: str, out: Path, as_json: bool) -> None:
    """Follow the catalogue to its end, fetch its files, and report."""
    ended = one.follow(catalogue_id)
    files = one.fetch(catalogue_id)
    stderr().print(f"packshot: {len(files)} files are in {out}", markup=False, soft_wrap=True)
    _report(ended, one, files, as_json)


def _report(answer: CatalogueAnswer, one: CatalogueRun, files: Sequence[Path], as_json: bool) -> None:
    """Print the counts, and the rows that failed or were skipped. Exits with 1 when rows failed or it is paused."""
    failed, skipped = one.rows(answer.id, "failed"), one.rows(answer.id, "skipped")
    counts = answer.counts.model_dump()
    table(f"{answer.name}, {answer.state}", ("state of rows", "count"), counts.items())
    for title, rows in (("Failed", failed), ("Skipped", skipped)):
        _print_rows(title, rows)
    if answer.state == "paused":
        why = "its budget is spent" if answer.pause_reason == "budget" else "somebody paused it"
        stderr().print(f"packshot: the catalogue is paused: {why}; run it again to go on.", markup=False)
    if as_json:
        listed = [{"row": row.row, "sku": row.sku, "code": row.code, "detail": row.detail} for row in failed]
        left_out = [{"row": row.row, "sku": row.sku, "code": row.code, "detail": row.detail} for row in skipped]
        put_json(
            {
                "id": answer.id,
                "state": answer.state,
                "counts": counts,
                "failed": listed,
                "skipped": left_out,
                "files": [str(path) for path in files],
            }
        )
    if failed or answer.state == "paused":
        raise typer.Exit(FAILED)


def _print_rows(title: str, rows: Sequence[RowAnswer]) -> None:
    if not rows:
        return
    shown = ((row.row, row.sku, row.code, row.detail) for row in rows[:SHOWN_PROBLEMS])
    table(f"{title}: {len(rows)}", ("row", "SKU", "code", "why"), shown)
    if len(rows) > SHOWN_PROBLEMS:
        stderr().print(f"{len(rows) - SHOWN_PROBLEMS} more stand in manifest.csv.")
