"""From a row's photos to their masks: what the item brings, or what its box, its points or the whole photo give."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from packshot.api.conversions import exact_mask
from packshot.api.decoding import Decoder
from packshot.api.graph import Graph
from packshot.api.photo_masks import own_alpha, segmented
from packshot.api.uploads import add_photo
from packshot.catalogue.places import Allowed
from packshot.catalogue.rows import is_path
from packshot.catalogue.urls import read_url
from packshot.contract.catalogue import Item
from packshot.errors import BadInput, NotFound
from packshot.imaging.decoding.formats import claim_of
from packshot.imaging.prompts import check_prompts
from packshot.settings import Settings
from packshot.store.catalogue_records import CatalogueRecord
from packshot.store.records import MaskRecord, PhotoRecord
from packshot.store.store import Store
from packshot.types import Prompts

MOST_OF_PHOTO = 0.98
"""Share of the photo's pixels that a product covers at most, when nothing marks it."""


class RowFailed(Exception):
    """A row cannot be made, for a reason that was told before: `code` and `detail`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Cutter:
    """Finds a row's photos and makes their masks.

    `graph` segments, and `decoder` reads untrusted files. Files at URLs must lie under the prefixes of `settings`.
    """

    def __init__(self, store: Store, graph: Graph, decoder: Decoder, settings: Settings) -> None:
        self._store = store
        self._graph = graph
        self._decoder = decoder
        self._allowed = Allowed.by(settings)
        self._max_photo_bytes = settings.max_photo_bytes

    async def masks_of(self, record: CatalogueRecord, item: Item) -> list[str]:
        """The ids of the masks of the item's photos, in their order. Mask, box and points belong to the first photo.

        Raises RowFailed for a photo that was refused before, BadInput `product_not_found` when nothing is a product,
        BadInput `photo_missing`, and as the decoder, the segmenter and the store do.
        """
        found = []
        for index, (_, place) in enumerate(item.views()):
            photo = await self._photo(record, place)
            if index == 0 and item.mask is not None:
                mask = await self._brought(record, photo, item.mask)
            elif index == 0 and (item.box or item.points):
                mask = await self._marked(photo, item)
            else:
                mask = await self._best(photo, Prompts())
            found.append(mask.id)
        return found

    async def _photo(self, record: CatalogueRecord, place: str) -> PhotoRecord:
        photo_id: str | None = place
        if "://" in place:
            return await self._downloaded(record.tenant, place)
        if is_path(place, "ph_"):
            there = await asyncio.to_thread(self._store.catalogue_photos.at, record.id, place, "photo")
            if there is not None and there.code is not None:
                raise RowFailed(there.code, there.detail or "")
            photo_id = there.photo_id if there else None
        try:
            return await asyncio.to_thread(self._store.photos.get, record.tenant, photo_id or "")
        except NotFound:
            rule = f"a row's photo must be there, got {place[:80]!r}, which is not; upload it again and retry the row"
            raise BadInput("photo_missing", rule) from None

    async def _downloaded(self, tenant_id: str, url: str) -> PhotoRecord:
        data = await self._read(url)
        photo = await self._decoder.normalise(data, claim_of(None, url))
        return await asyncio.to_thread(add_photo, self._store, tenant_id, photo, photo.png, None)

    async def _read(self, url: str) -> bytes:
        return await asyncio.to_thread(read_url, url, self._allowed.photos, max_bytes=self._max_photo_bytes)

    async def _brought(self, record: CatalogueRecord, photo: PhotoRecord, place: str) -> MaskRecord:
        """The mask that the item names: an id, a file at a URL, or a file that was sent for its path."""
        if "://" in place:
            data = await self._read(place)
        elif is_path(place, "mk_"):
            there = await asyncio.to_thread(self._store.catalogue_photos.at, record.id, place, "mask")
            if there is not None and there.code is not None:
                raise RowFailed(there.code, there.detail or "")
            if there is None or there.asset_key is None:
                raise BadInput("photo_missing", f"a row's mask must be there, got {place[:80]!r}; send it, and retry")
            data = await asyncio.to_thread(self._store.assets.get, there.asset_key)
        else:
            mask = await asyncio.to_thread(self._store.masks.get, record.tenant, place)
            if mask.photo_id != photo.id:
                rule = f"a row's mask must be one of its photo {photo.id}, got one of {mask.photo_id}"
                raise BadInput("mask_of_other_photo", f"{rule}; cut this photo")
            return mask
        read = await self._decoder.read_mask(data, photo.width, photo.height)
        new = replace(exact_mask(read, read.png, photo.width, photo.height), source="upload")
        return (await asyncio.to_thread(self._store.masks.add, photo.tenant, photo.id, [new]))[0]

    async def _marked(self, photo: PhotoRecord, item: Item) -> MaskRecord:
        points = tuple((x, y, 1) for x, y in item.points)
        prompts = Prompts(points=points, boxes=(item.box,) if item.box else ())
        check_prompts(prompts, photo.width, photo.height)
        return await self._best(photo, prompts)

    async def _best(self, photo: PhotoRecord, prompts: Prompts) -> MaskRecord:
        """The upload's own alpha where the prompts mean it, else the segmenter's best candidate."""
        own = await own_alpha(self._store, self._graph, photo, prompts)
        if own is not None:
            return own  # without a look at the pixels, which costs more than all the rest of a plain picture
        made = await segmented(self._graph, photo, None, prompts)
        best = made.masks[0] if made.masks else None
        everything = photo.width * photo.height * MOST_OF_PHOTO
        if best is None or best.area_px == 0 or best.score <= 0 or (not _marks(prompts) and best.area_px > everything):
            raise BadInput(
                "product_not_found",
                "a row's photo must show a product that stands out, and none was found; mark it with a box or points, "
                "or send a mask",
            )
        return (await asyncio.to_thread(self._store.masks.add, photo.tenant, photo.id, [best]))[0]


def _marks(prompts: Prompts) -> bool:
    return bool(prompts.points or prompts.boxes)
