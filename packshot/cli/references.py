"""The pictures of `--reference`: ids of the server, or files that are uploaded once for all photos."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packshot.cli.retries import retry_while_busy
from packshot.errors import BadInput
from packshot.imaging.decoding.formats import claim_of

if TYPE_CHECKING:
    from packshot.client import Client

__all__ = ["bring_master", "bring_references", "require_master", "require_references"]

_ID = re.compile(r"(ph|im)_[A-Za-z0-9]+")


def require_references(named: Sequence[str]) -> None:
    """Check before a server is started. Raises BadInput `bad_usage` for one that is neither a file nor an id."""
    for one in named:
        if not Path(one).is_file() and not _ID.fullmatch(one):
            rule = f"--reference must be a picture's file, ph_… or im_…, got {one!r}"
            raise BadInput("bad_usage", f"{rule}; check the path")


def require_master(named: str | None) -> None:
    """Check before a server is started. Raises BadInput `bad_usage` for one that is neither a file nor a photo's id."""
    if named is not None and not Path(named).is_file() and not (_ID.fullmatch(named) and named.startswith("ph_")):
        raise BadInput("bad_usage", f"--master must be an artwork's file or ph_…, got {named!r}; check the path")


def bring_master(client: Client, named: str) -> str:
    """The photo id of an artwork. A file is uploaded."""
    return str(_reference(client, named)["photo_id"])


def bring_references(client: Client, named: Sequence[str]) -> list[dict[str, Any]]:
    """The references as the API takes them. Files are uploaded."""
    return [_reference(client, one) for one in named]


def _reference(client: Client, named: str) -> dict[str, Any]:
    path = Path(named)
    if not path.is_file():
        return {"image_id" if named.startswith("im_") else "photo_id": named}
    media_type = claim_of(None, path.name) or "application/octet-stream"
    data = path.read_bytes()
    return {"photo_id": retry_while_busy(lambda: client.upload(data, media_type)).id}
