"""From a row's photos to their masks: what the item brings, or what its words, box, points or the whole photo give."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from packshot.api.conversions import exact_mask
from packshot.api.decoding import Decoder
from packshot.api.graph import Graph
from packshot.api.photo_masks import own_alpha, segmented
from packshot.api.uploads import add_photo
from packshot.api.word_masks import named
from packshot.catalogue.places import Allowed
from packshot.catalogue.rows import is_path
from packshot.catalogue.urls import read_url
from packshot.contract.answers import NoteAnswer
from packshot.contract.catalogue import Item
from packshot.errors import BadInput, NotFound
from packshot.imaging.decoding.formats import claim_of
from packshot.imaging.prompts import check_prompts
from packshot.settings import Settings
from packshot.store.catalogue_records import CatalogueRecord
from packshot.store.records import MaskRecord, PhotoRecord
from packshot.store.store import Store
from packshot.types import Prompts, Words

NOTHING = ("no_known_word", "not_found")
"""The notes of a search that found nothing."""
MOST_OF_PHOTO = 0.98
"""Share of the photo's pixels that a product covers at most, when nothing marks it."""


class RowFailed(Exception):
    """A row cannot be made, for a reason that is known already: `code` and `detail`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Cut:
    """The ids of the masks of a row's photos, and what a person should know about them, if anything."""

    masks: list[str]
    note: NoteAnswer | None = None


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

    async def cut(self, record: CatalogueRecord, item: Item, default_find: str | None) -> Cut:
        """The masks of the item's photos, in their order.

        Mask, box and points belong to the first photo. The words, the item's or `default_find`, count for every photo
        but that of a detail, which need not show the product as a whole. Raises RowFailed for a photo that was refused
        before, BadInput `no_product` when a photo shows nothing that the words name, BadInput `product_not_found` when
        nothing is a product, BadInput `photo_missing`, and as the decoder, the segmenter and the store do.
        """
        masks, note = [], None
        for index, (view, place) in enumerate(item.views()):
            photo = await self._photo(record, place)
            find = None if view == "detail" else item.find or default_find
            prompts = _prompts(item, photo) if index == 0 else Prompts()
            if index == 0 and item.mask is not None:
                mask = await self._brought(record, photo, item.mask)
            elif find is not None:
                mask, more = await self._named(photo, find, prompts)
                note = note or more
            else:
                mask = await self._best(photo, prompts)
            masks.append(mask.id)
        return Cut(masks, note)

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

    async def _named(self, photo: PhotoRecord, find: str, prompts: Prompts) -> tuple[MaskRecord, NoteAnswer | None]:
        """The mask of the likeliest product that the words name, and a note when there are several."""
        found = await named(self._store, self._graph, photo, Words(find.strip()), prompts)
        if not found.products:
            detail = next((note.detail for note in found.notes if note.code in NOTHING), "it could not be cut out")
            raise BadInput("no_product", f"a row's photo must show what its words name: {detail}, or send a mask")
        note = next((note for note in found.notes if note.code == "several_found"), None)
        best = replace(found, products=found.products[:1])
        return (await best.stored(self._store, photo))[0], note

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


def _prompts(item: Item, photo: PhotoRecord) -> Prompts:
    """The item's points and box, which lie on its first photo. Raises BadInput when they do not."""
    points = tuple((x, y, 1) for x, y in item.points)
    prompts = Prompts(points=points, boxes=(item.box,) if item.box else ())
    check_prompts(prompts, photo.width, photo.height)
    return prompts


def _marks(prompts: Prompts) -> bool:
    return bool(prompts.points or prompts.boxes)
