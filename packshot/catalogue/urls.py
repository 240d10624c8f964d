"""Files at URLs that the operator allowed: read a photo, write a delivered file. fsspec opens them."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packshot.catalogue.places import url_rule
from packshot.errors import BadInput, Conflict, NotFound, PackshotError, StorageFull, Unavailable

__all__ = ["put_file", "read_url", "write_url"]

TIMEOUT_S = 30.0
CHUNK_BYTES = 1024 * 1024


def read_url(url: str, allowed_prefixes: Sequence[str], *, max_bytes: int) -> bytes:
    """The bytes of a photo at a URL. It blocks.

    Redirects are not followed, and a link in a folder may not lead out of the prefix. Raises BadInput `url_not_allowed`
    when the URL is not allowed or its file is larger than `max_bytes`, NotFound when there is none, and Unavailable
    when its server does not answer.
    """
    _require(url, allowed_prefixes)
    scheme = urlsplit(url).scheme.lower()
    try:
        if scheme in ("http", "https"):
            return _read_http(url, max_bytes)
        if _is_folder(url):
            with _local(url, allowed_prefixes).open("rb") as file:
                data = file.read(max_bytes + 1)
        else:
            file_system, path = _file_system(url)
            with file_system.open(path, "rb", cache_type="none") as file:
                data = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise NotFound("not_found", f"No file lies at {url}; correct the URL, or put it there.") from None
    except PackshotError:
        raise
    except Exception as error:  # the libraries of object stores share no base class of their errors
        raise Unavailable("not_ready", f"{url} must be readable, got {type(error).__name__}: {error}") from error
    return _within(url, data, max_bytes)


def _read_http(url: str, max_bytes: int) -> bytes:
    import httpx

    with (
        httpx.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client,
        client.stream("GET", url) as answer,
    ):
        if answer.status_code in (404, 410):
            raise NotFound("not_found", f"No file lies at {url}; correct the URL, or put it there.")
        if answer.is_redirect:
            rule = "a URL must lead to the file itself, without a redirect"
            raise BadInput("url_not_allowed", f"{rule}, got {answer.status_code} from {url}; use the final URL")
        answer.raise_for_status()
        data = bytearray()
        for chunk in answer.iter_bytes(CHUNK_BYTES):
            data += chunk
            if len(data) > max_bytes:
                break
    return _within(url, bytes(data), max_bytes)


def write_url(url: str, data: bytes, allowed_prefixes: Sequence[str], *, replaces: Collection[str] = ()) -> str:
    """Write a file, whole or not at all, and return its URL. It blocks.

    A repeat with the same bytes changes nothing. A file of other bytes is replaced only if its SHA-256 is in
    `replaces`, the versions that this one supersedes. Raises BadInput `url_not_allowed` when the URL is not allowed,
    Conflict `file_taken` when there is another file of this name, StorageFull when the disk is full, and Unavailable
    when the place does not answer.
    """
    with _writing(url, allowed_prefixes):
        if _is_folder(url):
            path = _local(url, allowed_prefixes)
            if not _is_there(url, data, replaces, path.read_bytes() if path.is_file() else None):
                with _replacing(path) as temporary, temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        else:
            file_system, path_there = _file_system(url)
            if not _is_there(url, data, replaces, _known(file_system, path_there)):
                file_system.pipe_file(path_there, data)
    return url


def put_file(url: str, path: str, allowed_prefixes: Sequence[str]) -> str:
    """Copy a local file to a URL, whole or not at all, over what is there. Raises as `write_url` does. It blocks."""
    with _writing(url, allowed_prefixes):
        if _is_folder(url):
            with _replacing(_local(url, allowed_prefixes)) as temporary:
                shutil.copyfile(path, temporary)
        else:
            file_system, path_there = _file_system(url)
            file_system.put_file(path, path_there)
    return url


@contextmanager
def _writing(url: str, allowed_prefixes: Sequence[str]) -> Iterator[None]:
    _require(url, allowed_prefixes)
    try:
        yield
    except PackshotError:
        raise
    except Exception as error:  # the libraries of object stores share no base class of their errors
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("storage_full", f"the disk of {url} is full; make room there") from error
        raise Unavailable("not_ready", f"{url} must be writable, got {type(error).__name__}: {error}") from error


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place when the block ends without an error.

    A writer that was killed leaves its file; the next writer of the same `path` removes it. A file has one writer at a
    time, and should there be two, one of them fails and is repeated.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    of_path = f".packshot-{hashlib.sha256(path.name.encode()).hexdigest()[:16]}-"
    for left in path.parent.glob(f"{of_path}*"):
        left.unlink(missing_ok=True)
    temporary = path.parent / f"{of_path}{uuid.uuid4().hex}"
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _known(file_system: Any, path: str) -> bytes | None:
    try:
        return bytes(file_system.cat_file(path))
    except FileNotFoundError:
        return None


def _is_there(url: str, data: bytes, replaces: Collection[str], before: bytes | None) -> bool:
    """Whether the file has these bytes already. Raises Conflict `file_taken` for a file that may not be replaced."""
    if before is None or before == data:
        return before is not None
    if hashlib.sha256(before).hexdigest() in replaces:
        return False
    rule = "a route writes a file once, and over no other"
    raise Conflict("file_taken", f"{rule}, got another file at {url}; move it away, or use another folder")


def _is_folder(url: str) -> bool:
    return urlsplit(url).scheme.lower() == "file"


def _require(url: str, allowed_prefixes: Sequence[str]) -> None:
    if (rule := url_rule(url, allowed_prefixes)) is not None:
        raise BadInput("url_not_allowed", f"{rule}, got {url[:200]!r}; ask the operator for a prefix")


def _local(url: str, allowed_prefixes: Sequence[str]) -> Path:
    """The path of a file:// URL. Raises BadInput when a link leads out of every prefix."""
    path = Path(url2pathname(urlsplit(url).path))
    real = path.resolve()
    roots = [Path(url2pathname(urlsplit(one).path)).resolve() for one in allowed_prefixes if one.startswith("file:")]
    if not any(real.is_relative_to(root) for root in roots):
        raise BadInput("url_not_allowed", f"a link may not leave the allowed prefix, got {url[:200]!r}; remove it")
    return real


def _file_system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    file_system, path = url_to_fs(url, use_listings_cache=False)
    return file_system, path


def _within(url: str, data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise BadInput("url_not_allowed", f"a photo may have {max_bytes} bytes, got more at {url}; use a smaller file")
    return data
