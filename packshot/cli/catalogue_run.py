"""A catalogue from this machine through a server: make it, send its photos, follow it, fetch its files.

Every step can be repeated. OUT/packshot-catalogue.json says which catalogue a folder's files come from, so a command
that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from packshot.catalogue.places import relative_rule
from packshot.cli.progress import Progress
from packshot.cli.retries import retry_while_busy
from packshot.errors import BadInput, NotFound, PackshotError, StorageFull, UnsupportedMedia

if TYPE_CHECKING:
    from packshot.client import Client, ManifestFile
    from packshot.contract.catalogue_answers import CatalogueAnswer, RowAnswer

__all__ = ["CatalogueRun", "Made", "remembered"]

T = TypeVar("T")

AT_ONCE = 8
"""Photos that are sent at once: the server decodes several, and the network is filled while it does."""

EVERY_S = 1.0
"""Time between two looks at a running catalogue, seconds."""

STATE = "packshot-catalogue.json"
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Made:
    """The catalogue whose files a folder has. `source` is the manifest's path, and `sha256` that of what was sent."""

    id: str
    server: str
    source: str
    sha256: str


def remembered(out: Path) -> Made | None:
    """What the folder `out` says, or None."""
    try:
        return Made(**json.loads((out / STATE).read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        rule = f"{out / STATE} must be readable, got {error}"
        raise BadInput("bad_usage", f"{rule}; remove it, or use another --out") from error


class CatalogueRun:
    """One catalogue on one server. `client` reaches the server, and `out` is the folder for the files."""

    def __init__(self, client: Client, server: str, out: Path, progress: Progress) -> None:
        self._client = client
        self._server = server
        self._out = out
        self._progress = progress
        self.refused: list[tuple[str, PackshotError]] = []

    def make(self, manifest: ManifestFile, source: Path, *, skip: bool) -> CatalogueAnswer:
        """The catalogue of a manifest: the one that `out` remembers, or a new one."""
        whole = manifest.data + b"\0" + (manifest.look or b"")
        sha256 = hashlib.sha256(whole).hexdigest()
        known = remembered(self._out)
        if known is not None and (known.sha256, known.source) == (sha256, str(source.resolve())):
            try:
                found = self._retry_while_busy(partial(self._client.catalogues.get, known.id))
            except NotFound:  # of another server, or deleted
                pass
            else:
                if found.state != "cancelled":
                    return found
        create = partial(self._client.catalogues.create, manifest, on_problem="skip" if skip else "refuse")
        made = create()  # a repeat would make a second one
        self._out.mkdir(parents=True, exist_ok=True)
        state = Made(made.id, self._server, str(source.resolve()), sha256)
        (self._out / STATE).write_text(json.dumps(asdict(state), indent=1) + "\n", "utf-8")
        return made

    def upload(self, made: CatalogueAnswer, folder: Path) -> None:
        """Send the photos and masks that the catalogue lacks, many at once.

        A file that cannot be used is reported at once; the rows that name it will fail. Other errors end the upload.
        """
        total = made.missing_photos_total or 0
        sent = 0
        lock = threading.Lock()
        clock = _Clock()

        def send(path: str) -> None:
            nonlocal sent
            try:
                self._send(made.id, folder, path)
            except (BadInput, UnsupportedMedia) as error:
                with lock:
                    self.refused.append((path, error))
                self._progress.print(f"{path}: {error.detail} [{error.code}]")
            with lock:
                sent += 1
                self._progress.update("photos", f"{sent}/{total} sent, {clock.words(sent, total)}", sent, total)

        while made.missing_photos:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="photo") as threads:
                for _ in threads.map(send, [one.path for one in made.missing_photos]):
                    pass
            before = made.missing_photos
            made = self._retry_while_busy(partial(self._client.catalogues.get, made.id))
            if made.missing_photos == before:
                raise BadInput("photo_missing", f"every photo must be sent, {len(before)} were not; run it again")
        if total:
            self._progress.end("photos", f"photos: {total - len(self.refused)} of {total} sent")

    def _send(self, catalogue_id: str, folder: Path, path: str) -> None:
        try:
            data = (folder / path).read_bytes()
        except FileNotFoundError:
            data = b""  # its rows fail, and say so
        except OSError as error:
            raise BadInput("bad_usage", f"{path} must be readable: {error.strerror or error}") from error
        catalogues = self._client.catalogues
        if data:
            try:
                sha256 = hashlib.sha256(data).hexdigest()
                self._retry_while_busy(partial(catalogues.link_photo, catalogue_id, path, sha256))
                return
            except NotFound:  # it was not uploaded before, or it is a mask
                pass
        self._retry_while_busy(partial(catalogues.put_photo, catalogue_id, path, data))

    def start(self, made: CatalogueAnswer) -> CatalogueAnswer:
        """Start a draft, and resume what a person or a budget has paused."""
        catalogues = self._client.catalogues
        if made.state == "draft":
            return self._retry_while_busy(partial(catalogues.start, made.id))
        if made.state == "paused":
            return self._retry_while_busy(partial(catalogues.resume, made.id))
        return made

    def retry(self, catalogue_id: str) -> CatalogueAnswer:
        """Open the failed rows again."""
        return self._retry_while_busy(partial(self._client.catalogues.retry, catalogue_id))

    def follow(self, catalogue_id: str) -> CatalogueAnswer:
        """Return when the catalogue runs no more. Failed rows are reported at once."""
        reported: set[tuple[int, int]] = set()
        clock: _Clock | None = None
        while True:
            now = self._retry_while_busy(partial(self._client.catalogues.get, catalogue_id))
            ended = now.rows - now.counts.waiting - now.counts.running
            clock = clock or _Clock(ended)
            if now.counts.failed > len(reported):
                for row in self._retry_while_busy(lambda: list(self._client.catalogues.rows(catalogue_id, "failed"))):
                    if (row.row, row.attempt) not in reported:
                        reported.add((row.row, row.attempt))
                        self._progress.print(f"row {row.row}, {row.sku}: {row.detail} [{row.code}]")
            state = f"{ended}/{now.rows} rows, {now.counts.failed} failed, {clock.words(ended, now.rows)}"
            self._progress.update("rows", state, ended, now.rows)
            if now.state != "running":
                self._progress.end("rows", f"the catalogue is {now.state}: {_words(now)}")
                return now
            time.sleep(EVERY_S)

    def rows(self, catalogue_id: str, state: str) -> list[RowAnswer]:
        """The rows of a state, `failed` or `skipped`."""
        wanted: Callable[[], Iterable[RowAnswer]] = partial(
            self._client.catalogues.rows, catalogue_id, "failed" if state == "failed" else "skipped"
        )
        return self._retry_while_busy(lambda: list(wanted()))

    def fetch(self, catalogue_id: str) -> list[Path]:
        """Write all delivered files into `out`, and the manifest as it came out. Returns the files' paths."""
        archive = self._out / f"{catalogue_id}.zip"
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            self._retry_while_busy(partial(self._client.catalogues.save_manifest, catalogue_id, self._out / MANIFEST))
            self._retry_while_busy(partial(self._client.catalogues.save_archive, catalogue_id, archive))
            return self._unpacked(archive)
        except OSError as error:
            detail = f"{self._out} cannot be written: {error.strerror or error}; make room, or choose another --out"
            raise StorageFull("storage_full", detail) from error
        finally:
            archive.unlink(missing_ok=True)

    def _unpacked(self, archive: Path) -> list[Path]:
        """Unpack an archive of the server. A path that leaves the folder is refused."""
        written = []
        with zipfile.ZipFile(archive) as files:
            for entry in files.infolist():
                if (rule := relative_rule(entry.orig_filename)) is not None:
                    raise BadInput("zip_refused", f"{rule}, got {entry.orig_filename[:80]!r}; the server is not sound")
                path = self._out / entry.orig_filename
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f".{path.name}.part")
                part.write_bytes(files.read(entry))
                part.replace(path)
                written.append(path)
        return written

    def _retry_while_busy(self, call: Callable[[], T]) -> T:
        return retry_while_busy(call)


class _Clock:
    """Rate and end time of counted work. `begun` of it was done when the clock was made."""

    def __init__(self, begun: int = 0) -> None:
        self._begun = begun
        self._at = time.monotonic()

    def words(self, done: int, total: int) -> str:
        """Such as `12.5 a minute, ends about 14:32`."""
        spent_s = time.monotonic() - self._at
        made = done - self._begun
        if made <= 0 or spent_s < 0.1:
            return "no rate yet"
        left_s = (total - done) * spent_s / made
        ends = datetime.now().astimezone() + timedelta(seconds=left_s)
        return f"{60 * made / spent_s:.3g} a minute, ends about {ends:%H:%M}"


def _words(answer: CatalogueAnswer) -> str:
    counts = answer.counts
    waiting = f", {counts.waiting} waiting" if counts.waiting else ""
    return f"{counts.done} rows done, {counts.failed} failed, {counts.skipped} skipped{waiting}"
