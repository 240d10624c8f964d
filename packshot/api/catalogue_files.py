"""What comes out of a catalogue: its manifest as it came out, the archive of its files, and channels' feeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from packshot.api.answers import disposition
from packshot.api.auth import Caller
from packshot.api.catalogue_answers import file_url
from packshot.api.openapi import keyed_problems_json, problems_json, streamed_json, table_json
from packshot.api.services import Services, Wired, in_thread
from packshot.catalogue.archive import stream_zip
from packshot.catalogue.feeds import FEEDS, Feed, Picture, Product, feed_lines, public_url
from packshot.catalogue.places import is_url
from packshot.catalogue.routes import archive_path
from packshot.catalogue.rows import item_of, manifest_of
from packshot.catalogue.tables import chunks_of, lines_of
from packshot.contract.catalogue import Deliver, FeedKind, Manifest
from packshot.errors import BadInput, Conflict, NotFound, Overloaded
from packshot.store.catalogue_records import CatalogueRecord, CatalogueRow
from packshot.store.store import Store

router = APIRouter(prefix="/v1/catalogues", tags=["catalogues"], responses=keyed_problems_json())

ROWS_AT_ONCE = 500
COLUMNS = (
    *("row", "sku", "state", "code", "detail", "view", "scene", "preset", "name", "to", "file", "file_detail", "url"),
    *("image_id", "shot_id"),
)
"""The columns of manifest.csv."""


def _pages(store: Store, record: CatalogueRecord) -> Iterator[list[CatalogueRow]]:
    """All rows of a catalogue, in the manifest's order, page by page. It blocks."""
    cursor: str | None = None
    while True:
        rows, cursor = store.catalogues.rows(record.tenant, record.id, cursor=cursor, limit=ROWS_AT_ONCE)
        yield rows
        if cursor is None:
            return


async def _record(services: Services, tenant_id: str, catalogue_id: str) -> tuple[CatalogueRecord, Manifest]:
    record = await in_thread(services.store.catalogues.get, tenant_id, catalogue_id)
    return record, manifest_of(record.frame, ())


def _saved_as(record: CatalogueRecord, ending: str) -> Mapping[str, str]:
    """Headers under which a browser saves the file by the catalogue's name."""
    return {"content-disposition": disposition(f"{record.name}{ending}"), "cache-control": "private, no-store"}


@router.get(
    "/{catalogue_id}/manifest.csv",
    operation_id="get_catalogue_manifest",
    summary="Get the manifest as it came out",
    response_class=Response,
    responses=table_json("One line for each file, and one for each row without files.", "text/csv", COLUMNS)
    | problems_json(NotFound),
)
async def get_catalogue_manifest(catalogue_id: str, services: Wired, tenant: Caller) -> Response:
    """Says of each row what became of it, and of each file its name, its place, and the picture that it was made of."""
    record, manifest = await _record(services, tenant.id, catalogue_id)
    rows = (line for page in _pages(services.store, record) for row in page for line in _lines(row, manifest.deliver))
    lines = chunks_of(lines_of(COLUMNS, rows))
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=_saved_as(record, ".csv"))


def _lines(row: CatalogueRow, deliver: list[Deliver]) -> Iterator[list[object]]:
    shots = {shot.image_id: shot for shot in row.shots if shot.image_id}
    of_row = [row.row, row.sku, row.state, row.code, row.detail]
    for file in row.files:
        shot = shots.get(file.image_id)
        place = [file.name, deliver[file.entry].to, file.state, file.detail, file_url(file), file.image_id]
        seen = [shot.view, shot.scene] if shot else [None, None]
        yield [*of_row, *seen, deliver[file.entry].preset, *place, shot.shot_id if shot else None]
    delivered = {file.image_id for file in row.files}
    rest = [shot for shot in row.shots if shot.image_id not in delivered]
    for shot in rest:
        yield [*of_row, shot.view, shot.scene, None, None, None, None, shot.detail, None, shot.image_id, shot.shot_id]
    if not row.files and not rest:
        yield [*of_row, *[None] * (len(COLUMNS) - len(of_row))]


@router.get(
    "/{catalogue_id}/archive.zip",
    operation_id="get_catalogue_archive",
    summary="Get all delivered files as a ZIP archive",
    response_class=Response,
    responses=streamed_json("The archive, as a stream.", "application/zip")
    | problems_json(NotFound, Conflict, Overloaded),
)
async def get_catalogue_archive(catalogue_id: str, services: Wired, tenant: Caller) -> Response:
    """The files that were delivered so far, by their names, in the folders of their routes.

    Files that wait for an approval are not among them. 409 `not_approved` when the approval of a delivered one was
    withdrawn.
    """
    record, manifest = await _record(services, tenant.id, catalogue_id)
    await in_thread(_require_approved, services.store, record, None)
    services.streams.take(tenant.id)
    services.store.audit.reads.note(tenant.id, "file.read", record.id, details={"archive": True})

    def parts() -> Iterator[bytes]:
        yield from stream_zip(_archived(services.store, record, manifest.deliver))

    return _Held(parts(), partial(services.streams.free, tenant.id), _saved_as(record, ".zip"))


class _Held(StreamingResponse):
    """A streamed archive that holds a place until it ends, however it ends."""

    def __init__(self, parts: Iterator[bytes], free: Callable[[], None], headers: Mapping[str, str]) -> None:
        super().__init__(parts, media_type="application/zip", headers=dict(headers))
        self._free = free

    async def __call__(self, *args: object) -> None:
        try:
            await super().__call__(*args)  # type: ignore[arg-type]  # scope, receive and send
        finally:
            self._free()


def _archived(
    store: Store, record: CatalogueRecord, deliver: list[Deliver]
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The path in the archive, and a function that reads the bytes, of every made file."""
    for page in _pages(store, record):
        files = [file for row in page for file in _made(row)]
        known = store.delivered.records(record.tenant, [file.delivered_id for file in files])
        for file in files:
            if file.delivered_id in known:  # else its picture was deleted
                yield (
                    archive_path(deliver[file.entry].to, file.name),
                    partial(store.assets.get, known[file.delivered_id].asset_key),
                )


def _require_approved(store: Store, record: CatalogueRecord, entries: Collection[int] | None) -> None:
    """Raise Conflict `not_approved` when a picture of a made file may not leave any more; None = of every entry."""
    for page in _pages(store, record):
        made = [file for row in page for file in _made(row) if entries is None or file.entry in entries]
        store.reviews.require_approved(record.tenant, {file.image_id for file in made})


@dataclass(frozen=True)
class _Made:
    """A file that was made: its record's id, its picture, its name, and the place of its `deliver` entry."""

    delivered_id: str
    image_id: str
    name: str
    entry: int


def _made(row: CatalogueRow) -> Iterator[_Made]:
    for file in row.files:
        if file.state == "made" and file.delivered_id is not None and file.name is not None:
            yield _Made(file.delivered_id, file.image_id, file.name, file.entry)


@router.get(
    "/{catalogue_id}/feeds/{kind}",
    operation_id="get_catalogue_feed",
    summary="Get a channel's feed of the delivered files",
    response_class=Response,
    responses=table_json("The feed.", "text/csv", FEEDS["meta"].columns) | problems_json(NotFound, BadInput, Conflict),
)
async def get_catalogue_feed(
    catalogue_id: str,
    kind: FeedKind,
    services: Wired,
    tenant: Caller,
    published_at: Annotated[
        str,
        Query(min_length=1, max_length=1000, description="The https URL of the folder in which the files are public."),
    ],
    preset: Annotated[
        list[str], Query(max_length=40, description="Presets whose files it lists; default: the channel's own.")
    ] = [],  # noqa: B006 - FastAPI reads it as the default and does not share it
) -> Response:
    """google-merchant and meta list a product's id and pictures, shopify a picture a row, amazon a partial update.

    A picture's URL is `published_at`, the file's path in the archive without the folder of a route at a URL, and for
    all but amazon a part of its hash. Columns of text come from the items' `meta`: title, price, brand …
    """
    record, manifest = await _record(services, tenant.id, catalogue_id)
    feed = FEEDS[kind]
    presets = tuple(preset) or feed.presets
    if not any(entry.preset in presets for entry in manifest.deliver):
        rule = f"the catalogue must deliver one of the presets {', '.join(presets)}"
        raise BadInput("invalid_request", f"{rule}, got none; name those to list by `preset`.")
    listed = {at for at, entry in enumerate(manifest.deliver) if entry.preset in presets}
    await in_thread(_require_approved, services.store, record, listed)
    products = await in_thread(_products, services.store, record, manifest, feed, presets, published_at)
    return StreamingResponse(
        chunks_of(feed_lines(feed, products)),
        media_type=f"{feed.media_type}; charset=utf-8",
        headers=_saved_as(record, f"-{kind}.{feed.suffix}"),
    )


def _products(
    store: Store, record: CatalogueRecord, manifest: Manifest, feed: Feed, presets: tuple[str, ...], published_at: str
) -> list[Product]:
    """The catalogue's products with their delivered files of `presets`. Raises BadInput for a wrong `published_at`."""
    public_url(published_at, "", "", versioned=False)
    found = []
    for page in _pages(store, record):
        made = [(row, [one for one in _made(row) if manifest.deliver[one.entry].preset in presets]) for row in page]
        known = store.delivered.records(record.tenant, [one.delivered_id for _, files in made for one in files])
        for row, files in made:
            pictures = tuple(
                _picture(one, known[one.delivered_id].sha256, manifest.deliver[one.entry], feed, published_at)
                for one in files
                if one.delivered_id in known
            )
            if pictures and row.item is not None:
                found.append(Product(row.sku, pictures, item_of(row.item).meta))
    return found


def _picture(file: _Made, sha256: str, entry: Deliver, feed: Feed, published_at: str) -> Picture:
    folder = None if entry.to is not None and is_url(entry.to) else entry.to
    url = public_url(published_at, archive_path(folder, file.name), sha256, versioned=feed.versioned)
    return Picture(url, entry.preset, entry.scene is not None, file.name.rpartition(".")[0])
