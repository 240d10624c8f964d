"""Routes: where a catalogue's delivered files go besides the archive.

    to: null                 the archive's root
    to: spring/shop          a folder of the archive
    to: s3://bucket/spring   a folder at a URL under an allowed prefix; in the archive, `bucket/spring`
    to: s3://bucket/all.zip  one ZIP file there, written when the catalogue ends; in the archive, `bucket/all`

A crash between the writing of a file and its record repeats the writing, which then changes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable

from packshot.catalogue.archive import stream_zip
from packshot.catalogue.places import ZIP, Allowed, archive_folder, is_url, route_rule
from packshot.catalogue.urls import put_file, write_url
from packshot.delivery.naming import check_name
from packshot.errors import BadInput

__all__ = ["archive_path", "is_zipped", "write_file", "write_zip"]


def is_zipped(to: str | None) -> bool:
    """Whether the route's files go into one ZIP file at a URL."""
    return to is not None and is_url(to) and to.rstrip("/").lower().endswith(ZIP)


def archive_path(to: str | None, name: str) -> str:
    """The path of a route's file in the archive. Raises BadInput `filename_invalid` for no plain file name."""
    folder = archive_folder(to)
    return f"{folder}/{check_name(name)}" if folder else check_name(name)


def write_file(
    to: str | None, name: str, data: bytes, allowed: Allowed, *, replaces: Collection[str] = ()
) -> str | None:
    """Write one file to its route, whole and once, and return its URL. It blocks.

    Returns None for a route without a folder of its own: the archive has its files, or `write_zip` writes them.
    `replaces` are the SHA-256 of earlier versions of this file. Raises BadInput `url_not_allowed`, Conflict
    `file_taken` when the place has another file of this name, StorageFull, and Unavailable when the place does not
    answer.
    """
    checked = check_name(name)
    _require(to, allowed)
    if to is None or not is_url(to) or is_zipped(to):
        return None
    return write_url(f"{to.rstrip('/')}/{checked}", data, allowed.routes, replaces=replaces)


def write_zip(to: str, files: Iterable[tuple[str, Callable[[], bytes]]], allowed: Allowed) -> str:
    """Write all files of a zipped route and return the URL of the archive, which replaces an earlier one. It blocks.

    `files` are names and functions that read the bytes. Raises as `write_file` does.
    """
    _require(to, allowed)
    with tempfile.NamedTemporaryFile() as spool:
        for part in stream_zip((check_name(name), read) for name, read in files):
            spool.write(part)
        spool.flush()
        return put_file(to.rstrip("/"), spool.name, allowed.routes)


def _require(to: str | None, allowed: Allowed) -> None:
    if to is not None and (rule := route_rule(to, allowed.routes)) is not None:
        raise BadInput("url_not_allowed", f"{rule}, got {to[:200]!r}; use a folder of the archive")
