"""From a chosen picture to a channel's file under its name, in the store and at its route: once each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

from packshot.api.deliveries import made_once
from packshot.api.graph import Graph
from packshot.catalogue.places import Allowed
from packshot.catalogue.plan import file_values
from packshot.catalogue.routes import is_zipped, write_file, write_zip
from packshot.catalogue.rows import item_of, manifest_of, shots_of
from packshot.delivery.naming import parse_template
from packshot.delivery.presets import preset_named
from packshot.errors import NotFound
from packshot.settings import Settings
from packshot.store.catalogue_records import CatalogueRecord, OpenFile
from packshot.store.delivered_records import DeliveredRecord
from packshot.store.records import ImageRecord
from packshot.store.reviews import unapproved
from packshot.store.store import Store

ROWS_AT_ONCE = 500


class Filer:
    """Makes the files of catalogues. A picture that a person must approve first is held until then."""

    def __init__(self, store: Store, graph: Graph, settings: Settings) -> None:
        self._store = store
        self._graph = graph
        self._allowed = Allowed.by(settings)

    async def make(self, record: CatalogueRecord, file: OpenFile) -> None:
        """Make a file and write it to its route. A repeat makes and writes nothing twice.

        Raises BadInput `preset_unmet`, `not_served` and `filename_invalid`, Conflict `file_taken`, and as the store and
        the route's place do.
        """
        if await asyncio.to_thread(self._waits_for_approval, record.tenant, file.image_id):
            await asyncio.to_thread(self._store.catalogue_work.file_held, record.id, file)
            return
        item = item_of(file.item)
        manifest = manifest_of(record.frame, [item])
        entry = manifest.deliver[file.entry]
        image = await asyncio.to_thread(self._store.images.get, record.tenant, file.image_id)
        shot = await asyncio.to_thread(self._store.shots.get, record.tenant, image.shot_id)
        made = await made_once(self._store, self._graph, image, shot, preset_named(entry.preset))
        template = parse_template(entry.name, [axis.name for axis in manifest.axes])
        planned = next(one for one in shots_of(record.frame, item) if (file.entry, file.n) in one.files)
        values = file_values(item, planned.variant, entry, planned.view, file.n) | _late(image, made)
        await asyncio.to_thread(self._keep, record, file, made, template.render(values))

    def _waits_for_approval(self, tenant_id: str, image_id: str) -> bool:
        with self._store.database.read() as connection:
            return bool(unapproved(connection, tenant_id, [image_id]))

    def _keep(self, record: CatalogueRecord, file: OpenFile, made: DeliveredRecord, name: str) -> None:
        """Reserve the name, write the file to its route, and say that it is made. It blocks."""
        work = self._store.catalogue_work
        work.reserve_name(record.id, file, name)
        if file.to is not None:
            replaces = self._sha256_of_earlier(record.tenant, file)
            write_file(file.to, name, self._store.assets.get(made.asset_key), self._allowed, replaces=replaces)
        work.file_made(record.id, file, made.id)

    def _sha256_of_earlier(self, tenant_id: str, file: OpenFile) -> tuple[str, ...]:
        """The hash of the file of the version that this one supersedes, if there was one."""
        if file.earlier_id is None:
            return ()
        try:
            return (self._store.delivered.get(tenant_id, file.earlier_id).sha256,)
        except NotFound:
            return ()

    def write_archives(self, record: CatalogueRecord) -> None:
        """Write the ZIP file of each route that names one, with all its files. It blocks."""
        for to in sorted({one.to for one in manifest_of(record.frame, []).deliver if one.to and is_zipped(one.to)}):
            write_zip(to, self._files_for(record, to), self._allowed)

    def _files_for(self, record: CatalogueRecord, to: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
        cursor: str | None = None
        while True:
            rows, cursor = self._store.catalogues.rows(record.tenant, record.id, cursor=cursor, limit=ROWS_AT_ONCE)
            for row in rows:
                for file in row.files:
                    if file.state == "made" and file.to == to and file.name and file.delivered_id:
                        made = self._store.delivered.get(record.tenant, file.delivered_id)
                        yield file.name, partial(self._store.assets.get, made.asset_key)
            if cursor is None:
                return


def _late(image: ImageRecord, made: DeliveredRecord) -> dict[str, str | int]:
    """The values of a name that are known only when the picture is."""
    return {
        "seed": image.seed,
        "image_id": image.id,
        "width": made.width,
        "height": made.height,
        "ext": made.extension,
    }
