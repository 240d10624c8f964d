"""Signed URLs, by which a client sends a file to the object store, or reads one from it, past the gateway."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignedUpload:
    """Where to PUT a file, and the headers that must go with it."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)


def sign_upload(
    file_system: Any, path: str, *, size_bytes: int, sha256: str, content_type: str, lifetime_s: int
) -> SignedUpload | None:
    """A URL to which a file of this size, hash and type may be PUT for `lifetime_s`; None where the store has none.

    S3 also checks size and hash itself, and Google Cloud Storage the size.
    """
    kind = _kind(file_system)
    if kind == "s3":
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        options: dict[str, object] = {
            "ContentType": content_type,
            "ContentLength": size_bytes,
            "ChecksumSHA256": checksum,
        }
        headers = {"content-type": content_type, "x-amz-checksum-sha256": checksum}
        url = _signed(lambda: file_system.sign(path, lifetime_s, client_method="put_object", **options))
    elif kind == "gs":
        length = {"x-goog-content-length-range": f"{size_bytes},{size_bytes}"}
        headers = {"content-type": content_type, **length}
        options = {"version": "v4", "method": "PUT", "content_type": content_type, "headers": length}
        url = _signed(lambda: file_system.sign(path, lifetime_s, **options))
    else:
        return None
    return None if url is None else SignedUpload(url, headers)


def sign_download(
    file_system: Any, path: str, *, media_type: str, disposition: str | None, lifetime_s: int
) -> str | None:
    """A URL from which the file may be read for `lifetime_s`, with these headers; None where the store has none."""
    kind = _kind(file_system)
    names = {
        "s3": ("ResponseContentType", "ResponseContentDisposition"),
        "gs": ("response_type", "response_disposition"),
        "abfs": ("content_type", "content_disposition"),
    }.get(kind)
    if names is None:
        return None
    options = {names[0]: media_type} | ({names[1]: disposition} if disposition else {})
    if kind == "gs":
        options["version"] = "v4"
    return _signed(lambda: file_system.sign(path, lifetime_s, **options))


def _kind(file_system: Any) -> str:
    names = file_system.protocol
    names = (names,) if isinstance(names, str) else names
    return next((name for name in ("s3", "gs", "abfs") if name in names), "")


def _signed(sign: Callable[[], str]) -> str | None:
    """The URL, or None when the credentials cannot sign, as a token of a metadata server cannot."""
    try:
        return str(sign())
    except Exception as error:  # noqa: BLE001 - each library has its own; the bytes then go through the gateway
        log.warning("the credentials of PACKSHOT_ASSETS_URL sign no URL; files pass the gateway: %r", error)
        return None
