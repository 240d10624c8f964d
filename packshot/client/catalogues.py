"""`client.catalogues`: many SKUs with one look, from a manifest to delivered files.

manifest = ManifestFile(Path("catalogue.yaml").read_bytes())
print(client.catalogues.plan(manifest).device_s)
made = client.catalogues.create(manifest)
for missing in made.missing_photos:
    client.catalogues.put_photo(made.id, missing.path, Path(missing.path).read_bytes())
client.catalogues.start(made.id)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from packshot.client import catalogue_calls as calls
from packshot.client.call import AsyncSend, Call, Send, async_pages, pages
from packshot.client.catalogue_calls import ManifestFile
from packshot.contract.catalogue import DryRunAnswer, FeedKind, Manifest
from packshot.contract.catalogue_answers import CatalogueAnswer, PhotosZipAnswer, PutPhotoAnswer, RowAnswer
from packshot.contract.status import RowState

__all__ = ["AsyncCatalogues", "Catalogues"]


class Save(Protocol):
    """Sends a call and writes its answer's bytes to a file, as they come."""

    def __call__(self, call: Call[None], path: Path, /) -> None: ...


class AsyncSave(Protocol):
    """Sends a call and writes its answer's bytes to a file, for asyncio."""

    async def __call__(self, call: Call[None], path: Path, /) -> None: ...


class Catalogues:
    """A client's catalogues. Every method raises the `PackshotError` that the server raised.

    Changes of the state take a `version`, that of the answer which was seen: PreconditionFailed when the catalogue has
    changed since. None changes whatever there is.
    """

    def __init__(self, send: Send, save: Save) -> None:
        self._send, self._save = send, save

    def plan(self, manifest: Manifest | ManifestFile) -> DryRunAnswer:
        """What a manifest would make and cost, with every problem. Nothing is stored."""
        return self._send(calls.plan(ManifestFile.of(manifest)))

    def create(
        self, manifest: Manifest | ManifestFile, *, on_problem: Literal["refuse", "skip"] = "refuse"
    ) -> CatalogueAnswer:
        """Make a catalogue, a draft. `skip` leaves rows with problems out; else one refuses all (BadInput)."""
        return self._send(calls.create(ManifestFile.of(manifest), on_problem))

    def all(self) -> Iterator[CatalogueAnswer]:
        """Yield the catalogues, newest first."""
        for page in pages(self._send, calls.catalogues()):
            yield from page.catalogues

    def get(self, catalogue_id: str) -> CatalogueAnswer:
        """Get a catalogue with its counts, and while it is a draft its missing photos."""
        return self._send(calls.catalogue(catalogue_id))

    def rows(self, catalogue_id: str, state: RowState | None = None) -> Iterator[RowAnswer]:
        """Yield the rows in the manifest's order: all, or those of one state."""
        for page in pages(self._send, calls.rows(catalogue_id, state)):
            yield from page.rows

    def put_photo(self, catalogue_id: str, path: str, data: bytes) -> PutPhotoAnswer:
        """Send the file of a path. A repeat is a no-op. An unreadable file raises, and its rows will fail with that."""
        return self._send(calls.put_photo(catalogue_id, path, data))

    def link_photo(self, catalogue_id: str, path: str, sha256: str) -> PutPhotoAnswer:
        """Use a photo that was uploaded before. Raises NotFound when no upload has this SHA-256, hexadecimal."""
        return self._send(calls.link_photo(catalogue_id, path, sha256))

    def put_archive(self, catalogue_id: str, data: bytes) -> PhotosZipAnswer:
        """Send many photos as a ZIP archive. For thousands of photos, `put_photo` in several threads is faster."""
        return self._send(calls.put_archive(catalogue_id, data))

    def start(self, catalogue_id: str, *, version: int | None = None) -> CatalogueAnswer:
        """Start it. Raises Conflict `photos_missing` while a path has no photo. A repeat changes nothing."""
        return self._send(calls.change(catalogue_id, "start", version, {}))

    def pause(self, catalogue_id: str, *, version: int | None = None) -> CatalogueAnswer:
        """Make no further shot. Those that were made end."""
        return self._send(calls.change(catalogue_id, "pause", version, {}))

    def resume(self, catalogue_id: str, *, version: int | None = None) -> CatalogueAnswer:
        """Go on. A catalogue that its budget paused may spend the budget once more."""
        return self._send(calls.change(catalogue_id, "resume", version, {}))

    def cancel(self, catalogue_id: str, *, version: int | None = None) -> CatalogueAnswer:
        """End it. Rows that have not ended are skipped; what was delivered stays."""
        return self._send(calls.change(catalogue_id, "cancel", version, {}))

    def retry(
        self, catalogue_id: str, *, only: Literal["failed", "skipped"] = "failed", version: int | None = None
    ) -> CatalogueAnswer:
        """Open failed or skipped rows again. What was made of them stays."""
        return self._send(calls.change(catalogue_id, "retry", version, {"only": only}))

    def save_manifest(self, catalogue_id: str, path: Path) -> None:
        """Write the manifest as it came out, a CSV file."""
        self._save(calls.manifest(catalogue_id), path)

    def save_archive(self, catalogue_id: str, path: Path) -> None:
        """Write all delivered files, a ZIP file."""
        self._save(calls.archive(catalogue_id), path)

    def save_feed(
        self, catalogue_id: str, kind: FeedKind, path: Path, *, published_at: str, presets: Sequence[str] = ()
    ) -> None:
        """Write a channel's feed of the files, which are public in the folder `published_at`, an https URL."""
        self._save(calls.feed(catalogue_id, kind, published_at, presets), path)


class AsyncCatalogues:
    """The catalogues of an `AsyncClient`. `Catalogues` describes the methods."""

    def __init__(self, send: AsyncSend, save: AsyncSave) -> None:
        self._send, self._save = send, save

    async def plan(self, manifest: Manifest | ManifestFile) -> DryRunAnswer:
        """What a manifest would make and cost, with every problem. Nothing is stored."""
        return await self._send(calls.plan(ManifestFile.of(manifest)))

    async def create(
        self, manifest: Manifest | ManifestFile, *, on_problem: Literal["refuse", "skip"] = "refuse"
    ) -> CatalogueAnswer:
        """Make a catalogue, a draft."""
        return await self._send(calls.create(ManifestFile.of(manifest), on_problem))

    async def all(self) -> AsyncIterator[CatalogueAnswer]:
        """Yield the catalogues, newest first."""
        async for page in async_pages(self._send, calls.catalogues()):
            for one in page.catalogues:
                yield one

    async def get(self, catalogue_id: str) -> CatalogueAnswer:
        """Get a catalogue with its counts."""
        return await self._send(calls.catalogue(catalogue_id))

    async def rows(self, catalogue_id: str, state: RowState | None = None) -> AsyncIterator[RowAnswer]:
        """Yield the rows in the manifest's order."""
        async for page in async_pages(self._send, calls.rows(catalogue_id, state)):
            for one in page.rows:
                yield one

    async def put_photo(self, catalogue_id: str, path: str, data: bytes) -> PutPhotoAnswer:
        """Send the file of a path."""
        return await self._send(calls.put_photo(catalogue_id, path, data))

    async def link_photo(self, catalogue_id: str, path: str, sha256: str) -> PutPhotoAnswer:
        """Use a photo that was uploaded before."""
        return await self._send(calls.link_photo(catalogue_id, path, sha256))

    async def put_archive(self, catalogue_id: str, data: bytes) -> PhotosZipAnswer:
        """Send many photos as a ZIP archive."""
        return await self._send(calls.put_archive(catalogue_id, data))

    async def start(self, catalogue_id: str, *, version: int | None = None) -> CatalogueAnswer:
        """Start it."""
        return await self._send(calls.change(catalogue_id, "start", version, {}))

    async def pause(self, catalogue_id: str, *, version: int | None = None) -> CatalogueAnswer:
        """Make no further shot."""
        return await self._send(calls.change(catalogue_id, "pause", version, {}))

    async def resume(self, catalogue_id: str, *, version: int | None = None) -> CatalogueAnswer:
        """Go on."""
        return await self._send(calls.change(catalogue_id, "resume", version, {}))

    async def cancel(self, catalogue_id: str, *, version: int | None = None) -> CatalogueAnswer:
        """End it."""
        return await self._send(calls.change(catalogue_id, "cancel", version, {}))

    async def retry(
        self, catalogue_id: str, *, only: Literal["failed", "skipped"] = "failed", version: int | None = None
    ) -> CatalogueAnswer:
        """Open failed or skipped rows again."""
        return await self._send(calls.change(catalogue_id, "retry", version, {"only": only}))

    async def save_manifest(self, catalogue_id: str, path: Path) -> None:
        """Write the manifest as it came out, a CSV file."""
        await self._save(calls.manifest(catalogue_id), path)

    async def save_archive(self, catalogue_id: str, path: Path) -> None:
        """Write all delivered files, a ZIP file."""
        await self._save(calls.archive(catalogue_id), path)

    async def save_feed(
        self, catalogue_id: str, kind: FeedKind, path: Path, *, published_at: str, presets: Sequence[str] = ()
    ) -> None:
        """Write a channel's feed of the files."""
        await self._save(calls.feed(catalogue_id, kind, published_at, presets), path)
