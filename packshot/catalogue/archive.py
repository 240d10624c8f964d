"""ZIP archives, both ways: files that leave as a stream, and photos that arrive in an untrusted archive."""

from __future__ import annotations

import io
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from packshot.catalogue.places import relative_rule
from packshot.errors import BadInput, TooLarge

__all__ = ["PhotoArchive", "stream_zip"]

DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every entry, so that the same files give the same bytes."""

MAX_ENTRIES = 60_000
"""Most entries of an archive of photos: 50,000 rows, and what file managers add."""

CHUNK_BYTES = 1024 * 1024
ENCRYPTED = 0x1
"""The bit of an entry's flags that says that it has a password."""


class _Outgoing(io.RawIOBase):
    """Takes what `zipfile` writes and gives it to the stream. It cannot seek, so sizes follow each entry."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(memoryview(data))  # type: ignore[arg-type]  # any buffer
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        """What was written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def stream_zip(files: Iterable[tuple[str, Callable[[], bytes]]]) -> Iterator[bytes]:
    """The archive of `files`, each a path and a function that reads its bytes, one file in memory at a time.

    Entries are stored without compression, because pictures are compressed already.
    """
    out = _Outgoing()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, read in files:
            entry = zipfile.ZipInfo(path, DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, read())
            yield out.taken()
    yield out.taken()


@dataclass(frozen=True)
class PhotoArchive:
    """The photos of an untrusted archive, by their path below the manifest. `unused` are entries that no row names.

    Nothing is unpacked but what a row names, and no name of an entry becomes a path on this machine.
    """

    archive: zipfile.ZipFile
    entries: Mapping[str, zipfile.ZipInfo]
    unused: tuple[str, ...]
    max_entry_bytes: int

    @classmethod
    def opened(
        cls, file: IO[bytes], wanted: Collection[str], *, max_entry_bytes: int, max_total_bytes: int
    ) -> PhotoArchive:
        """Open an archive and check its directory. `wanted` are the paths that rows name.

        A single folder around all photos is ignored. Raises BadInput `zip_refused` for an archive that cannot be read,
        for paths that leave the folder, links, encrypted, doubled or overlapping entries, and for more entries or
        bytes than the limits.
        """
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError) as error:
            raise _refused("it must be a ZIP archive", f"{error}", "pack the photos again") from None
        infos = [one for one in archive.infolist() if not one.is_dir() and not _is_junk(one.filename)]
        _check(infos, max_entry_bytes, max_total_bytes)
        paths = {unicodedata.normalize("NFC", one.filename): one for one in infos}
        if len(paths) < len(infos):
            raise _refused("an archive may have a path once", "two entries of one path", "remove one")
        root = _single_folder(paths, wanted)
        found = {path.removeprefix(root): info for path, info in paths.items()}
        used = {path: info for path, info in found.items() if path in wanted}
        return cls(archive, used, tuple(sorted(found.keys() - used.keys())), max_entry_bytes)

    def read(self, path: str) -> bytes:
        """The bytes of a photo. Raises BadInput `zip_refused` when it is damaged or larger than it says."""
        info = self.entries[path]
        parts: list[bytes] = []
        left = min(self.max_entry_bytes, info.file_size) + 1
        try:
            with self.archive.open(info) as entry:
                while left > 0 and (part := entry.read(min(CHUNK_BYTES, left))):
                    parts.append(part)
                    left -= len(part)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, ValueError) as error:
            raise _refused("every entry must be readable", f"{path!r} ({error})", "pack the photos again") from None
        if left <= 0:
            raise _refused("an entry may not be larger than it says", repr(path), "pack the photos again")
        return b"".join(parts)


def _is_junk(name: str) -> bool:
    """Whether a file manager added the entry."""
    last = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or last.startswith(".") or last == "Thumbs.db"


def _check(infos: list[zipfile.ZipInfo], max_entry_bytes: int, max_total_bytes: int) -> None:
    if len(infos) > MAX_ENTRIES:
        raise _refused(f"an archive may have at most {MAX_ENTRIES} entries", str(len(infos)), "split it")
    for one in infos:
        shown = repr(one.orig_filename[:80])
        if (rule := relative_rule(one.orig_filename)) is not None:
            raise _refused(rule, shown, "pack the photos again, from inside their folder")
        if stat.S_ISLNK(one.external_attr >> 16):
            raise _refused("an archive may have no links", shown, "pack the file itself")
        if one.flag_bits & ENCRYPTED:
            raise _refused("an archive may not be encrypted", shown, "pack it without a password")
        if one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refused("an entry must be stored or deflated", shown, "pack the photos with another program")
        if one.file_size > max_entry_bytes:
            rule = f"An entry may have {max_entry_bytes} bytes"
            raise TooLarge("body_too_large", f"{rule}, got {one.file_size} in {shown}; send a smaller file.")
    total = sum(one.file_size for one in infos)
    if total > max_total_bytes:
        rule = f"The entries may have {max_total_bytes} bytes together"
        raise TooLarge("body_too_large", f"{rule}, got {total}; send the photos in several archives.")
    end = 0
    for one in sorted(infos, key=lambda info: info.header_offset):
        if one.header_offset < end:
            raise _refused("entries may not overlap", repr(one.orig_filename[:80]), "pack the photos again")
        end = one.header_offset + 30 + len(one.orig_filename.encode()) + one.compress_size


def _single_folder(paths: Collection[str], wanted: Collection[str]) -> str:
    """The folder around all entries, with its slash, if no row names a path as it is; else ""."""
    if any(path in wanted for path in paths):
        return ""
    tops = {path.partition("/")[0] for path in paths}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in path for path in paths) else ""


def _refused(rule: str, got: str, remedy: str) -> BadInput:
    return BadInput("zip_refused", f"The archive is refused: {rule}, got {got}; {remedy}.")
