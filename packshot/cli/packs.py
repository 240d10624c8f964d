"""`packshot packs`: list, show, fetch, verify and wait for packs of models."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from packshot.cli.console import FAILED, AsJson, put_json, report_errors, stderr, table
from packshot.cli.packs_import import import_checkpoint
from packshot.cli.progress import Progress
from packshot.cli.servers import require_answer
from packshot.errors import PackRefused, Unavailable

if TYPE_CHECKING:
    from packshot.models.packs.pack import Pack

app = typer.Typer(
    help="List, show, fetch, verify and wait for packs of models.", no_args_is_help=True, rich_markup_mode=None
)

app.command("import")(import_checkpoint)

Name = Annotated[str, typer.Argument(help="A pack's name, as `packshot packs list` shows it.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Packs, as `packshot packs list` shows them.")]


@app.command("list")
@report_errors
def list_packs(as_json: AsJson = False) -> None:
    """List all packs: what their licence allows, and whether their files are here."""
    from packshot.contract.engines import LicenceTerms
    from packshot.models.packs.licence import said
    from packshot.models.packs.pack import broken_packs
    from packshot.models.packs.pack import list_packs as find_all
    from packshot.models.packs.ready import OPTIONAL_ROLES
    from packshot.settings import Settings

    settings = Settings()
    rows: list[dict[str, Any]] = []
    for pack in find_all(settings):
        manifest = pack.manifest
        rows.append(
            {
                "name": manifest.name,
                "title": manifest.title,
                "kind": manifest.kind,
                "family": manifest.family,
                "native_px": list(manifest.native_px),
                "licence": manifest.licence,
                "commercial": manifest.terms.commercial != "no",
                "terms": manifest.terms.model_dump(mode="json"),
                "renderable": manifest.renderable,
                "missing_files": len(pack.missing()),
                "missing_optional": sum(role in OPTIONAL_ROLES for role, _ in pack.missing()),
            }
        )
    table(
        "Packs",
        ("name", "title", "native", "licence", "use", "state"),
        (
            (
                row["name"],
                row["title"],
                "x".join(map(str, row["native_px"])) if row["kind"] == "engine" else "",
                row["licence"],
                said(LicenceTerms.model_validate(row["terms"])),
                _state(row),
            )
            for row in rows
        ),
    )
    broken = broken_packs(settings)
    for name, error in broken.items():
        stderr().print(f"{name} cannot be used: {error.detail}", markup=False, soft_wrap=True)
    if as_json:
        put_json({"packs": rows, "broken": {name: error.detail for name, error in broken.items()}})


def _state(row: dict[str, Any]) -> str:
    if row["kind"] == "engine" and not row["renderable"]:
        return "declared, cannot render yet"
    if row["missing_files"] > row["missing_optional"]:
        return f"missing files: {row['missing_files']}"
    return f"ready (missing optional files: {row['missing_optional']})" if row["missing_optional"] else "ready"


@app.command()
@report_errors
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a pack's defaults, limits and licences, and its files with their sizes and what is missing."""
    from packshot.models.packs.kinds import ENGINE_FIELDS
    from packshot.models.packs.licence import said as words_of
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings

    pack = find_pack(name, Settings())
    summary = pack.summary().model_dump(mode="json") | {"kind": pack.manifest.kind}
    files = _files(pack)
    hidden = (*ENGINE_FIELDS, "limits", "capabilities") if pack.manifest.kind == "segmenter" else ()
    shown = {key: value for key, value in summary.items() if key not in hidden}
    table(f"Pack {name}", ("field", "value"), (shown | {"terms": words_of(pack.manifest.terms)}).items())
    table(
        f"Files of {name}",
        ("role", "file", "size", "state"),
        ((row["role"], row["file"], _size(row["bytes"]), "missing" if row["missing"] else "here") for row in files),
    )
    absent = [row for row in files if row["missing"]]
    said = f"{_total(pack, files)} in {len(files)} files; nothing is missing."
    if absent:
        said = f"{len(absent)} of {len(files)} files are missing, {_total(pack, absent)}. To download them: "
        said += f"packshot packs fetch {name}"
    stderr().print(said, markup=False, soft_wrap=True)
    if as_json:
        put_json(summary | {"files": files})


def _files(pack: Pack) -> list[dict[str, Any]]:
    """A row for each file of the pack: role, file, bytes (None = not known before it is here) and missing."""
    rows: list[dict[str, Any]] = []
    for role in pack.roles:
        for file, stated in pack.role(role).files.items():
            path = pack.locate(role, file)
            size = stated.bytes if path is None else path.stat().st_size
            rows.append({"role": role, "file": file, "bytes": size, "missing": path is None})
    return rows


def _total(pack: Pack, rows: Sequence[dict[str, Any]]) -> str:
    """The size of these files together. Where sizes are not known, the least that it is: the sum of those that are
    known, or for the whole pack the size of its parameters."""
    known = sum(row["bytes"] or 0 for row in rows)
    if all(row["bytes"] is not None for row in rows):
        return _size(known)
    whole = len(rows) == sum(len(pack.role(role).files) for role in pack.roles)
    least = max(known, _parameters_bytes(pack) if whole else 0)
    return f"at least {_size(least)}" if least else "of unknown size"


def _parameters_bytes(pack: Pack) -> int:
    """The bytes of the pack's parameters, without its optional networks; 0 = the pack states no footprint."""
    from packshot.models.footprint.pack_footprint import FILE, find_footprint

    if not (pack.folder / FILE).is_file():
        return 0
    stages = find_footprint(pack).stages
    cuts, paints = stages.get("sam_encoder"), stages.get("generator")
    fp32_gib = 2 * cuts.weights_gib if cuts else 0.0  # a segmenter's file has twice the bytes that are served
    gib = fp32_gib + (paints.weights_gib if paints else 0.0)
    return round(gib * 2**30)


def _size(count: int | None) -> str:
    """A number of bytes as people read it."""
    if count is None:
        return "?"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


@app.command()
@report_errors
def fetch(names: Names, as_json: AsJson = False) -> None:
    """Download the packs' missing files from the model hub to the pack cache, and again those that are faulty.

    HF_TOKEN is the token for gated and private repositories, HF_ENDPOINT another hub."""
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings

    online = Settings().model_copy(update={"offline": False})  # calling this command permits the use of the hub
    packs = [find_pack(name, online) for name in names]  # a wrong name is refused before the first download
    fetched = [_fetch(pack) for pack in packs]
    if as_json:
        _put_each(fetched)


def _put_each(answers: Sequence[dict[str, Any]]) -> None:
    """Print the answer about one pack as an object, those about several as a list."""
    put_json(answers[0] if len(answers) == 1 else list(answers))


def _fetch(pack: Pack) -> dict[str, Any]:
    name = pack.name
    absent = [row for row in _files(pack) if row["missing"]]
    with stderr().status(f"checking the files of {name} that are here"):
        faulty = [check for check in pack.verify() if check.status == "corrupt"]
    if absent or faulty:
        _require_hub(pack)
        again = f", {len(faulty)} faulty ones again" if faulty else ""
        stderr().print(f"{name}: {len(absent)} files to fetch, {_total(pack, absent)}{again}.", markup=False)
    started_at = time.monotonic()
    with Progress() as progress, _watched(pack, progress):
        paths = pack.fetch(progress.print)
    spent_s = max(time.monotonic() - started_at, 1e-3)
    count = sum(path.stat().st_size for path in paths)
    speed = f", {_size(count)} in {spent_s:.0f} s ({_size(int(count / spent_s))}/s)" if paths else ""
    stderr().print(f"{name}: {len(paths)} files fetched{speed}.", markup=False)
    return {"name": name, "fetched": [str(path) for path in paths], "bytes": count}


def _require_hub(pack: Pack) -> None:
    """Raise PackRefused `pack_missing` at once when the hub cannot be reached, and not after its client's retries."""
    from huggingface_hub import constants

    from packshot.models.packs.hub import endpoint

    remedy = f"run this on a machine that reaches it and copy {pack.settings.pack_cache_dir / pack.name} here"
    if constants.HF_HUB_OFFLINE:
        raise PackRefused("pack_missing", f"HF_HUB_OFFLINE forbids the model hub; unset it, or {remedy}")
    try:
        require_answer(endpoint(), path="/", environment=True)
    except Unavailable as error:
        raise PackRefused("pack_missing", f"the model hub must be reachable: {error.detail}; or {remedy}") from error


@contextmanager
def _watched(pack: Pack, progress: Progress) -> Iterator[None]:
    """Tell how fast the pack's folder grows, once a second, for as long as the block runs."""
    folder = pack.settings.pack_cache_dir / pack.name
    ended, before = threading.Event(), _bytes_in(folder)
    started_at = time.monotonic()

    def watch() -> None:
        while not ended.wait(1.0):
            grown = max(0, _bytes_in(folder) - before)
            speed = grown / (time.monotonic() - started_at)
            progress.update(f"fetching {pack.name}", f"{_size(grown)}, {_size(int(speed))}/s", grown)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _bytes_in(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # a temporary file that was renamed since
            total += file.stat().st_size if file.is_file() else 0
    return total


@app.command()
@report_errors
def verify(names: Names, as_json: AsJson = False) -> None:
    """Check every file of the packs against its manifest, and the parts against each other. Exits with 1 on a fault."""
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings

    packs = [find_pack(name, Settings()) for name in names]
    verified = [_verify(pack) for pack in packs]
    if as_json:
        _put_each(verified)
    if not all(answer["ok"] for answer in verified):
        raise typer.Exit(FAILED)
    for pack in packs:
        if pack.manifest.kind == "engine":
            pack.check()


def _verify(pack: Pack) -> dict[str, Any]:
    from packshot.models.packs.weights import missing_package

    name = pack.name
    with stderr().status(f"hashing {name}"):
        checks = pack.verify()
    ok = all(check.status in ("ok", "unverified") for check in checks)
    table(
        f"Pack {name}",
        ("role", "file", "bytes", "state"),
        ((check.role, check.file, f"{check.bytes:,}", check.status) for check in checks),
    )
    by_status = Counter(check.status for check in checks)
    counted = ", ".join(f"{count} {status}" for status, count in sorted(by_status.items()))
    stderr().print(f"{name}: {counted or 'no files'}.", markup=False)
    if by_status["unverified"]:
        stderr().print(
            "unverified: the manifest states no sha256, so only the pinned commit and the file's own length vouch for "
            "it. `packshot packs verify NAME --json` prints the hash of what is here.",
            markup=False,
            soft_wrap=True,
        )
    for role in pack.roles:
        if missing := missing_package(pack.role(role).class_name):
            stderr().print(f"{role}: {missing}", markup=False, soft_wrap=True)
    if not ok:
        stderr().print(f"To replace what is missing or corrupt: packshot packs fetch {name}", markup=False)
    rows = [
        {
            "role": check.role,
            "file": check.file,
            "bytes": check.bytes,
            "status": check.status,
            "sha256": check.sha256,
        }
        for check in checks
    ]
    return {"name": name, "ok": ok, "files": rows}


@app.command()
@report_errors
def wait(
    names: Names,
    timeout: Annotated[float, typer.Option(help="Longest wait for each pack, seconds; 0 = no limit.", min=0)] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Wait until every file of the packs is here and has its hash, brought by something else. A timeout exits with 1.

    Kubernetes runs it before a replica starts: a replica without its weights fails.
    """
    from packshot.models.packs.arrival import wait_for_pack
    from packshot.settings import Settings

    started_at = time.monotonic()
    console = stderr()
    answers: list[dict[str, Any]] = []

    def report(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    for name in names:
        wait_for_pack(name, Settings(), timeout_s=timeout, report=report)
        waited_s = time.monotonic() - started_at
        report(f"{name}: whole and verified after {waited_s:.0f} s.")
        answers.append({"name": name, "ok": True, "waited_s": round(waited_s, 1)})
    if as_json:
        _put_each(answers)
