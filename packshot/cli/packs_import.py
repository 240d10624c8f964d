"""`packshot packs import`: make a pack of somebody's own checkpoint."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from packshot.cli.console import AsJson, put_json, report_errors, stderr


class Commercial(StrEnum):
    """Whether the checkpoint's licence allows commercial use."""

    yes = "yes"
    no = "no"
    limited = "limited"


@report_errors
def import_checkpoint(
    source: Annotated[str, typer.Argument(help="A diffusers folder, one safetensors file, or OWNER/NAME on the hub.")],
    name: Annotated[str, typer.Option(help="The new pack's name; by default that of the folder.")] = "",
    like: Annotated[str, typer.Option(help="The pack that gives the other roles; by default that of its family.")] = "",
    copy: Annotated[bool, typer.Option("--copy", help="Copy the files; by default they are linked.")] = False,
    licence: Annotated[str, typer.Option(help="Its licence, as SPDX.")] = "LicenseRef-unknown",
    commercial: Annotated[Commercial, typer.Option(help="Whether that allows commercial use.")] = Commercial.no,
    prediction: Annotated[str, typer.Option(help="What one file's UNet predicts: epsilon or v_prediction.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a pack of your own checkpoint, and check that its parts fit. The pack lies in the pack cache."""
    from packshot.models.packs.importing import import_pack
    from packshot.settings import Settings

    name = name or re.sub(r"[^a-z0-9_.-]+", "-", Path(source).stem.lower()).strip("-.")
    with stderr().status(f"importing {source}"):
        pack = import_pack(
            source,
            name,
            Settings(),
            like=like,
            copy=copy,
            licence=licence,
            commercial=commercial.value,
            prediction=prediction,
        )
    missing = len(pack.missing())
    said = f"{name}: a pack of the family {pack.manifest.family} in {pack.folder}; files are "
    said += f"{'copied' if copy else 'linked'}."
    if missing:
        said += f" {missing} files are not here yet: packshot packs fetch {name}"
    stderr().print(said, markup=False, soft_wrap=True)
    if commercial is Commercial.no:
        note = "Its licence is taken for non-commercial; --commercial yes states another reading, and else "
        stderr().print(f"{note}PACKSHOT_ACCEPT_NONCOMMERCIAL=true serves it.", markup=False, soft_wrap=True)
    if as_json:
        put_json({"name": name, "family": pack.manifest.family, "folder": str(pack.folder), "missing_files": missing})
