"""The files of photos, masks and images, through fsspec: a local folder by default, an object store in production.

Keys are hashes of the content or names that Packshot chose, never names from a client. A local file is written
atomically: temporary name, fsync, rename, fsync of the folder. Object stores write atomically themselves.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from packshot.errors import BadInput, NotFound, PackshotError, StorageFull, Unavailable
from packshot.store.asset_keys import SUFFIX, TEMPORARY, checked, is_own
from packshot.store.signed_urls import SignedUpload, sign_download, sign_upload

log = logging.getLogger(__name__)

DOWNLOAD_S = 300
"""Seconds for which the URL of a download is valid."""

RESCAN_S = 30.0
"""Seconds for which a count of the used bytes is valid while there is room. Other processes write too."""

MARKER = "packshot-store.json"
"""The file in the root that says to which database the root belongs."""

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}


@dataclass(frozen=True)
class StoredFile:
    """A file in the asset root. `age_s` is the time since it was last written or put again, in seconds."""

    key: str
    bytes: int
    age_s: float


class Assets:
    """Content-addressed files.

    `root_url` is the fsspec URL of the asset root. `max_bytes` is the quota of all files in the root; 0 = no quota.
    Raises BadInput `bad_usage` when the URL has a scheme that is unknown, or whose package is not installed.
    """

    def __init__(self, root_url: str, max_bytes: int = 0) -> None:
        from fsspec.implementations.local import LocalFileSystem

        self.root_url = root_url
        self.max_bytes = max_bytes
        self._fs, self._root = _file_system(root_url)
        self._folder = Path(self._root) if isinstance(self._fs, LocalFileSystem) else None
        self._told_of_others = False
        self._lock = threading.Lock()
        self._used_bytes = 0
        self._scanned_at: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Assets, (self.root_url, self.max_bytes)

    def put(self, data: bytes, suffix: str) -> str:
        """Store `data` and return its key, `ab/ab12…{suffix}`. The file is durable when this returns.

        Raises StorageFull when the file would exceed the quota or the disk is full, and Unavailable when the root does
        not answer.
        """
        if not SUFFIX.fullmatch(suffix):
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
        self._write(checked(key), data, durable=False)

    def put_derived(self, key: str, data: bytes) -> None:
        """Write `data`, which can be made again, at `key`. The file is durable when this returns, like that of `put`.

        Two writers of one key write the same bytes; the file is whole at any time. Raises StorageFull as `put` does.
        """
        self._make_room(len(data))
        self._write(checked(key), data, durable=True)

    def put_file(self, key: str, path: str) -> None:
        """Copy the local file at `path` to `key`. The copy is not synced. Raises StorageFull as `put` does."""
        self._make_room(os.path.getsize(path))
        with _trouble_of_storage():
            if self._folder is None:
                self._fs.put_file(path, self._path(key))
                return
            target, temporary = self._folder / checked(key), self._folder / TEMPORARY / uuid.uuid4().hex
            temporary.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(path, temporary)
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def require_room(self, size_bytes: int) -> None:
        """Raise StorageFull when a file of `size_bytes` would exceed the quota."""
        self._make_room(size_bytes)

    def size(self, key: str) -> int:
        """Return the size of the file at `key` in bytes. Raises NotFound and Unavailable as `get` does."""
        try:
            with _trouble_of_storage():
                if self._folder is not None:
                    return (self._folder / checked(key)).stat().st_size
                return int(self._fs.info(self._path(key))["size"])
        except FileNotFoundError as error:
            raise NotFound("not_found", f"no asset {key!r} exists; it may have been deleted") from error

    def upload_url(
        self, key: str, *, size_bytes: int, sha256: str, content_type: str, lifetime_s: int
    ) -> SignedUpload | None:
        """Where a client may PUT the file `key` itself; None where the file must pass a gateway."""
        path = self._path(key)
        return sign_upload(
            self._fs, path, size_bytes=size_bytes, sha256=sha256, content_type=content_type, lifetime_s=lifetime_s
        )

    def download_url(
        self, key: str, *, media_type: str, disposition: str | None = None, lifetime_s: int = DOWNLOAD_S
    ) -> str | None:
        """Where a client may read the file `key` itself; None where the file must pass a gateway."""
        path = self._path(key)
        return sign_download(self._fs, path, media_type=media_type, disposition=disposition, lifetime_s=lifetime_s)

    def get(self, key: str) -> bytes:
        """Return the bytes at `key`. Raises NotFound when no file is there, and Unavailable when it cannot be read."""
        try:
            with _trouble_of_storage():
                if self._folder is not None:
                    return (self._folder / checked(key)).read_bytes()
                return bytes(self._fs.cat_file(self._path(key)))
        except FileNotFoundError as error:
            log.info("no asset %r exists", key)  # not in the error, which a client reads: keys are ours alone
            raise NotFound("not_found", "a file of this object does not exist; it may have been deleted") from error

    def exists(self, key: str) -> bool:
        """Return whether a file is at `key`."""
        if self._folder is not None:
            return (self._folder / checked(key)).is_file()
        with _trouble_of_storage():
            return bool(self._fs.exists(self._path(key)))

    def delete(self, key: str) -> None:
        """Delete the file at `key`, if there is one."""
        try:
            if self._folder is not None:
                (self._folder / checked(key)).unlink()
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

    def files(self, folder: str = "") -> Iterator[StoredFile]:
        """Iterate over Packshot's own files in `folder`, temporary files included, in no particular order.

        `folder` is one of asset_keys.py; "" is the whole root. A file with a name that Packshot does not give is passed
        over, and the first of them is logged.
        """
        found = self._local_files(self._folder, folder) if self._folder is not None else self._remote_files(folder)
        for file in found:
            if is_own(file.key):
                yield file
            elif not self._told_of_others and file.key != MARKER:
                self._told_of_others = True
                log.warning(
                    "%s holds files that are not packshot's, such as %r; they are left alone", self.root_url, file.key
                )

    def has_content(self) -> bool:
        """Whether the root holds a file that `put` wrote. It lists one folder, not the whole root."""
        if self._folder is not None:
            names = [child.name for child in self._folder.iterdir()] if self._folder.is_dir() else []
        else:
            names = [str(name).rstrip("/").rpartition("/")[2] for name in self._listed()]
        return any(next(self.files(name), None) is not None for name in names if len(name) == 2)

    def read_marker(self) -> str:
        """Return the text of the root's marker, or "" when there is none."""
        try:
            if self._folder is not None:
                return (self._folder / MARKER).read_text("utf-8")
            return bytes(self._fs.cat_file(f"{self._base}/{MARKER}")).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def write_marker(self, text: str) -> None:
        """Write the root's marker. Raises FileExistsError when another process was first."""
        if self._folder is not None:
            key = f"{TEMPORARY}/{uuid.uuid4().hex}"
            _write_local(self._folder, key, text.encode(), durable=True)
            try:
                os.link(self._folder / key, self._folder / MARKER)  # whole at once, and only one of several
            finally:
                self.delete(key)
            _sync_folder(self._folder)
        else:
            self._fs.pipe_file(f"{self._base}/{MARKER}", text.encode(), mode="create")

    def _listed(self) -> list[str]:
        try:
            return list(self._fs.ls(self._base, detail=False))
        except FileNotFoundError:
            return []

    def _local_files(self, root: Path, folder: str) -> Iterator[StoredFile]:
        now = time.time()
        for parent, _, names in os.walk(root / folder.rstrip("/")):
            for name in names:
                path = Path(parent, name)
                try:
                    status = path.stat()
                except FileNotFoundError:  # another process deleted it
                    continue
                yield StoredFile(path.relative_to(root).as_posix(), status.st_size, now - status.st_mtime)

    def _remote_files(self, folder: str) -> Iterator[StoredFile]:
        now = time.time()
        for path, info in self._fs.find(f"{self._base}/{folder}".rstrip("/"), detail=True).items():
            written = info.get("LastModified") or info.get("last_modified") or info.get("mtime") or info.get("created")
            seconds = written.timestamp() if isinstance(written, datetime) else float(written or now)
            yield StoredFile(str(path)[len(self._base) + 1 :], int(info.get("size") or 0), now - seconds)

    @property
    def _base(self) -> str:
        return str(self._root).rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._base}/{checked(key)}"

    def _touch(self, key: str) -> bool:
        """Return whether the file exists. Its age restarts, so that the orphan sweep does not delete it."""
        if self._folder is None:
            return self.exists(key)
        try:
            with _trouble_of_storage():
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
        with _trouble_of_storage():
            if self._folder is None:
                self._fs.pipe_file(self._path(key), data)
            else:
                _write_local(self._folder, key, data, durable=durable)


def _file_system(root_url: str) -> tuple[Any, str]:
    """The file system of a URL, without a listing cache, and the path in it.

    A cached listing says that a file exists which another process has deleted, and `put` would then store nothing.
    """
    from fsspec.core import url_to_fs

    scheme = root_url.partition("://")[0] if "://" in root_url else "file"
    options: dict[str, object] = {"use_listings_cache": False}
    if _EXTRAS.get(scheme) == "s3":
        options["config_kwargs"] = {"signature_version": "s3v4"}  # signed URLs; the older form leaves headers out
    rule = "PACKSHOT_ASSETS_URL must be a URL that fsspec opens"
    try:
        if "::" in root_url:
            raise ValueError("a chain of file systems may cache")
        return cast(tuple[Any, str], url_to_fs(root_url, **options))
    except ImportError as error:
        remedy = f"pip install 'packshot[{_EXTRAS[scheme]}]'" if scheme in _EXTRAS else "install its package"
        raise BadInput("bad_usage", f"{rule}, got {scheme}:// ({error}); {remedy}") from error
    except ValueError as error:
        raise BadInput(
            "bad_usage", f"{rule}, got {root_url[:200]!r} ({error}); use file://, s3://, gs:// or az://"
        ) from error


def _write_local(folder: Path, key: str, data: bytes, *, durable: bool) -> None:
    target, temporary = folder / key, folder / TEMPORARY / uuid.uuid4().hex
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
def _trouble_of_storage() -> Iterator[None]:
    """Convert errors that say nothing about the data: StorageFull for a full disk, Unavailable for all others.

    An object store raises errors of its client's libraries, some of which are no OSError.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError, PackshotError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "storage_full", "the disk of the assets is full; delete photos or shots, or add disk"
            ) from error
        log.warning("the asset root did not answer: %r", error)
        raise Unavailable("not_ready", "the asset root did not answer; try again (its error is in the log)") from error
