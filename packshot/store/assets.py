"""The files of photos, masks and images, through fsspec: a local folder by default, an object store in production.

Keys are hashes of the content or names that Packshot chose, never names from a client. A local file is written
atomically: temporary name, fsync, rename, fsync of the folder. Object stores write atomically themselves.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from packshot.errors import NotFound, StorageFull

RESCAN_S = 30.0
"""Seconds for which a count of the used bytes is valid while there is room. Other processes write too."""

_KEY = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*(\.[a-z0-9]{1,8})?")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_TEMPORARY = "tmp"


@dataclass(frozen=True)
class StoredFile:
    """A file in the asset root. `age_s` is the time since it was last written or put again, in seconds."""

    key: str
    bytes: int
    age_s: float


class Assets:
    """Content-addressed files.

    `root_url` is the fsspec URL of the asset root. `max_bytes` is the quota of all files in the root; 0 = no quota.
    """

    def __init__(self, root_url: str, max_bytes: int = 0) -> None:
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        self.root_url = root_url
        self.max_bytes = max_bytes
        self._fs, self._root = url_to_fs(root_url)
        self._folder = Path(self._root) if isinstance(self._fs, LocalFileSystem) else None
        self._lock = threading.Lock()
        self._used_bytes = 0
        self._scanned_at: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Assets, (self.root_url, self.max_bytes)

    def put(self, data: bytes, suffix: str) -> str:
        """Store `data` and return its key, `ab/ab12…{suffix}`. The file is durable when this returns.

        Raises StorageFull when the file would exceed the quota or the disk is full.
        """
        if not _SUFFIX.fullmatch(suffix):
            raise ValueError(f"suffix must be a dot and 1-8 characters of a-z and 0-9, got {suffix!r}; use .png")
        key = self.key_of(data, suffix)
        if self._touch(key):
            return key
        self._make_room(len(data))
        self._write(key, data, durable=True)
        return key

    @staticmethod
    def key_of(data: bytes, suffix: str) -> str:
        """Return the key that `put` uses for `data`."""
        digest = hashlib.sha256(data).hexdigest()
        return f"{digest[:2]}/{digest}{suffix}"

    def put_at(self, key: str, data: bytes) -> None:
        """Write `data` at `key`, replacing what is there. The write is not synced; use it for temporary files."""
        self._write(_checked(key), data, durable=False)

    def put_derived(self, key: str, data: bytes) -> None:
        """Write `data`, which can be made again, at `key`. The file is durable when this returns, like that of `put`.

        Two writers of one key write the same bytes; the file is whole at any time. Raises StorageFull as `put` does.
        """
        self._make_room(len(data))
        self._write(_checked(key), data, durable=True)

    def get(self, key: str) -> bytes:
        """Return the bytes at `key`. Raises NotFound when there is no such file."""
        try:
            if self._folder is not None:
                return (self._folder / _checked(key)).read_bytes()
            return bytes(self._fs.cat_file(self._path(key)))
        except FileNotFoundError as error:
            raise NotFound("not_found", f"no asset {key!r} exists; it may have been deleted") from error

    def exists(self, key: str) -> bool:
        """Return whether a file is at `key`."""
        if self._folder is not None:
            return (self._folder / _checked(key)).is_file()
        return bool(self._fs.exists(self._path(key)))

    def delete(self, key: str) -> None:
        """Delete the file at `key`, if there is one."""
        try:
            if self._folder is not None:
                (self._folder / _checked(key)).unlink()
            else:
                self._fs.rm_file(self._path(key))
        except FileNotFoundError:
            return
        with self._lock:
            self._scanned_at = None

    def used_bytes(self) -> int:
        """Count the bytes of all files in the root."""
        total = sum(file.bytes for file in self.files())
        with self._lock:
            self._used_bytes, self._scanned_at = total, time.monotonic()
        return total

    def files(self) -> Iterator[StoredFile]:
        """Iterate over all files in the root, temporary files included, in no particular order."""
        yield from self._local_files(self._folder) if self._folder is not None else self._remote_files()

    def _local_files(self, folder: Path) -> Iterator[StoredFile]:
        now = time.time()
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent, name)
                try:
                    status = path.stat()
                except FileNotFoundError:  # another process deleted it
                    continue
                yield StoredFile(path.relative_to(folder).as_posix(), status.st_size, now - status.st_mtime)

    def _remote_files(self) -> Iterator[StoredFile]:
        now = time.time()
        self._fs.invalidate_cache()
        for path, info in self._fs.find(self._root, detail=True).items():
            written = info.get("LastModified") or info.get("last_modified") or info.get("mtime") or info.get("created")
            seconds = written.timestamp() if isinstance(written, datetime) else float(written or now)
            key = str(path)[len(str(self._root).rstrip("/")) + 1 :]
            yield StoredFile(key, int(info.get("size") or 0), now - seconds)

    def _path(self, key: str) -> str:
        return f"{str(self._root).rstrip('/')}/{_checked(key)}"

    def _touch(self, key: str) -> bool:
        """Return whether the file exists. Its age restarts, so that the orphan sweep does not delete it."""
        if self._folder is None:
            return self.exists(key)
        try:
            os.utime(self._folder / key)
        except FileNotFoundError:
            return False
        return True

    def _make_room(self, size_bytes: int) -> None:
        if not self.max_bytes:
            return
        with self._lock:
            age_s = None if self._scanned_at is None else time.monotonic() - self._scanned_at
            over = self._used_bytes + size_bytes > self.max_bytes
        if age_s is None or age_s > RESCAN_S or (over and age_s > 1.0):  # over: another process may have deleted
            self.used_bytes()
        with self._lock:
            used = self._used_bytes
            if used + size_bytes > self.max_bytes:
                raise StorageFull(
                    "storage_full",
                    f"assets may use {self.max_bytes} bytes, {used} are used and {size_bytes} more are needed; "
                    "delete photos or shots, or raise PACKSHOT_MAX_ASSET_BYTES",
                )
            self._used_bytes += size_bytes

    def _write(self, key: str, data: bytes, *, durable: bool) -> None:
        with _disk_full_is_storage_full():
            if self._folder is None:
                self._fs.pipe_file(self._path(key), data)
            else:
                _write_local(self._folder, key, data, durable=durable)


def _write_local(folder: Path, key: str, data: bytes, *, durable: bool) -> None:
    target, temporary = folder / key, folder / _TEMPORARY / uuid.uuid4().hex
    temporary.parent.mkdir(parents=True, exist_ok=True)
    new_folder = not target.parent.is_dir()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(target.parent)
        if new_folder:
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_full_is_storage_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "storage_full", "the disk of the assets is full; delete photos or shots, or add disk"
            ) from error
        raise


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise NotFound("not_found", f"no asset {key[:80]!r} exists")
    return key
