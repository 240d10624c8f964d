"""`packshot packs`: list, show, fetch and verify packs of models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from packshot.cli.console import FAILED, AsJson, put_json, report_errors, stderr, table

app = typer.Typer(help="List, show, fetch and verify packs of models.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="A pack's name, as `packshot packs list` shows it.")]


@app.command("list")
@report_errors
def list_packs(as_json: AsJson = False) -> None:
    """List all packs."""
    from packshot.models.packs.pack import list_packs as find_all
    from packshot.settings import Settings

    rows: list[dict[str, Any]] = []
    for pack in find_all(Settings()):
        manifest = pack.manifest
        rows.append(
            {
                "name": manifest.name,
                "title": manifest.title,
                "family": manifest.family,
                "native_px": list(manifest.native_px),
                "licence": manifest.licence,
                "commercial": manifest.commercial,
                "renderable": manifest.renderable,
                "missing_files": len(pack.missing()),
            }
        )
    table(
        "Packs",
        ("name", "title", "native", "licence", "state"),
        (
            (row["name"], row["title"], "x".join(map(str, row["native_px"])), row["licence"], _state(row))
            for row in rows
        ),
    )
    if as_json:
        put_json({"packs": rows})


def _state(row: dict[str, Any]) -> str:
    if not row["renderable"]:
        return "declared, cannot render yet"
    return f"{row['missing_files']} files missing" if row["missing_files"] else "ready"


@app.command()
@report_errors
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a pack's sizes, defaults, limits and licences."""
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings

    summary = find_pack(name, Settings()).summary().model_dump(mode="json")
    table(f"Pack {name}", ("field", "value"), summary.items())
    if as_json:
        put_json(summary)


@app.command()
@report_errors
def fetch(name: Name, as_json: AsJson = False) -> None:
    """Download a pack's missing files from the model hub to the pack cache."""
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings

    console = stderr()
    online = Settings().model_copy(update={"offline": False})  # calling this command permits the use of the hub
    pack = find_pack(name, online)
    with console.status(f"fetching {name}") as status:
        paths = pack.fetch(lambda line: status.update(line))
    console.print(f"{name}: {len(paths)} files fetched.", markup=False)
    if as_json:
        put_json({"name": name, "fetched": [str(path) for path in paths]})


@app.command()
@report_errors
def verify(name: Name, as_json: AsJson = False) -> None:
    """Check every file of a pack against its manifest, and the parts against each other. Exits with 1 on a failure."""
    from packshot.models.packs.pack import find_pack
    from packshot.settings import Settings

    pack = find_pack(name, Settings())
    with stderr().status(f"hashing {name}"):
        checks = pack.verify()
    ok = all(check.status in ("ok", "unverified") for check in checks)
    table(
        f"Pack {name}",
        ("role", "file", "bytes", "state"),
        ((check.role, check.file, f"{check.bytes:,}", check.status) for check in checks),
    )
    if as_json:
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
        put_json({"name": name, "ok": ok, "files": rows})
    if not ok:
        raise typer.Exit(FAILED)
    pack.check()
