"""Where a catalogue's photos may come from, and where its files may go: the rules of paths and URLs.

Every URL must lie under a prefix that the operator allowed. Rules are checked on the text at the dry run, and again
by the code that reads and writes (`urls.py`, `routes.py`), because a link in a folder may lead elsewhere.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from packshot.delivery.naming import check_name
from packshot.errors import BadInput
from packshot.settings import Settings

__all__ = ["Allowed", "archive_folder", "folder_rule", "is_url", "path_rule", "relative_rule", "route_rule", "url_rule"]

MAX_FOLDERS = 8
"""Most folders of a route within the archive, one in the other."""

ZIP = ".zip"
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_HIDDEN = re.compile(r"(?i)%(2e|2f|5c|00)")  # an encoded dot, slash, backslash or NUL


@dataclass(frozen=True)
class Allowed:
    """The URL prefixes under which catalogues may read photos (`photos`) and write files (`routes`)."""

    photos: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()

    @classmethod
    def by(cls, settings: Settings) -> Allowed:
        """What the settings allow."""
        return cls(tuple(settings.catalogue_photo_urls.split()), tuple(settings.catalogue_route_urls.split()))


def is_url(text: str) -> bool:
    """Whether the text has a scheme, so that it is no path."""
    return _SCHEME.match(text) is not None


def url_rule(url: str, prefixes: Sequence[str]) -> str | None:
    """The rule that a URL breaks, or None.

    A prefix stands for a folder: `s3://bucket/spring` allows `s3://bucket/spring/mug.jpg`, but not
    `s3://bucket/spring-2/mug.jpg`.
    """
    if any(ord(character) < 33 for character in url) or "\\" in url or "::" in url or _HIDDEN.search(url):
        return "a URL may have no space, control character, backslash, `::`, or encoded dot or slash"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL must be well-formed"
    if "@" in parts.netloc:
        return "a URL may have no user name or password"
    if {".", ".."} & set(parts.path.split("/")) or "//" in parts.path:
        return "a URL's path may have no `.`, `..` or empty segment"
    if parts.fragment or (parts.query and parts.scheme.lower() != "https"):
        return "a URL may have no fragment, and a query only with https"
    if not any(_lies_under(url, prefix) for prefix in prefixes):
        served = ", ".join(prefixes) or "none is allowed here"
        return f"a URL must begin with an allowed prefix ({served})"
    return None


def _lies_under(url: str, prefix: str) -> bool:
    one, of = urlsplit(url), urlsplit(prefix)
    if (one.scheme.lower(), one.netloc.lower()) != (of.scheme.lower(), of.netloc.lower()):
        return False
    folder = of.path.rstrip("/")
    return one.path == folder or one.path.startswith(f"{folder}/")


def path_rule(text: str, own_prefix: str, allowed_prefixes: Sequence[str]) -> str | None:
    """The rule that a photo's or mask's place breaks, or None. It is an id, a path below the manifest, or a URL."""
    if text.startswith(own_prefix) and "/" not in text and "." not in text:
        return None
    if is_url(text):
        return url_rule(text, allowed_prefixes)
    return relative_rule(text)


def relative_rule(text: str) -> str | None:
    """The rule that a path below the manifest breaks, or None."""
    if "\\" in text or ":" in text or any(ord(character) < 32 for character in text):
        return "a path may have no backslash, colon or control character"
    if text.startswith(("/", "~")) or ".." in text.split("/") or posixpath.normpath(text) == ".":
        return "a path must lie below the manifest, without .. and without a leading /"
    return None


def route_rule(to: str, prefixes: Sequence[str]) -> str | None:
    """The rule that a delivery's `to` breaks, or None. It is a folder of the archive, or a URL under a prefix."""
    if is_url(to):
        broken = url_rule(to, prefixes)
        return broken or ("a route may have no query" if "?" in to else folder_rule(archive_folder(to)))
    return folder_rule(to)


def folder_rule(folder: str) -> str | None:
    """The rule that a folder of the archive breaks, or None."""
    segments = folder.strip("/").split("/")
    if folder.startswith("/") or len(segments) > MAX_FOLDERS:
        return f"a folder must be a relative path of at most {MAX_FOLDERS} folders, or a URL"
    for segment in segments:
        try:
            check_name(segment)
        except BadInput as error:
            return error.detail.partition(", got ")[0].replace("a file name", "each folder of a route", 1)
    return None


def archive_folder(to: str | None) -> str:
    """The folder of a route's files in the archive, "" = its root.

    A URL's folder is its host and path, so that files of two routes do not meet.
    """
    if to is None:
        return ""
    if not is_url(to):
        return to.strip("/")
    parts = urlsplit(to)
    path = f"{parts.netloc}{parts.path}".strip("/")
    return path.removesuffix(ZIP).replace(":", "-")
