"""What a file of a pack must be: its hash, its size, and whether it is whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from packshot.models.packs.manifest import FileSpec

CHUNK_BYTES = 4 * 1024 * 1024
MAX_HEADER_BYTES = 100 * 1024 * 1024
"""Largest header of a safetensors file, as the format limits it."""

_HASHES: dict[tuple[str, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal. It is cached until the file's size or modification time changes."""
    stat = path.stat()
    key = (str(path), stat.st_size, stat.st_mtime_ns)
    if key not in _HASHES:
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
        _HASHES[key] = digest.hexdigest()
    return _HASHES[key]


def file_fault(path: Path, stated: FileSpec, *, hashing: bool = True) -> str:
    """What is wrong with the file, "" = nothing that can be seen: its size, its hash, or that it ends too early.

    A safetensors file states its own length, so a truncated one is found even where the manifest states neither.
    `hashing` False leaves out the hash, which takes a second for each gigabyte or so.
    """
    size = path.stat().st_size
    if stated.bytes is not None and size != stated.bytes:
        return f"must have {stated.bytes:,} bytes, has {size:,}"
    if stated.sha256 is not None and hashing:
        found = sha256_of(path)
        return "" if found == stated.sha256 else f"must have sha256 {stated.sha256}, has {found}"
    if path.suffix == ".safetensors":
        return safetensors_fault(path)
    return "" if size else "is empty"


def safetensors_fault(path: Path) -> str:
    """Why the file is no whole safetensors file, "" if it is. Only the header is read."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > MAX_HEADER_BYTES:
            return f"is no safetensors file ({size:,} bytes)"
        try:
            header = json.loads(stream.read(length))
            ends = [row["data_offsets"][1] for name, row in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, LookupError, AttributeError):
            return f"is no safetensors file: its header cannot be read ({size:,} bytes)"
    whole = 8 + length + max(ends, default=0)
    return "" if size == whole else f"must have {whole:,} bytes by its own header, has {size:,}"


__all__ = ["file_fault", "safetensors_fault", "sha256_of"]
