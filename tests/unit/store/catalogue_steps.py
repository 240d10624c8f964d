"""Small catalogues for stores under test, and the steps of a producer without its pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from packshot.catalogue.manifest import read_manifest
from packshot.catalogue.plan import Costs
from packshot.catalogue.rows import item_of, new_rows, shots_of
from packshot.contract.engines import EngineInfo
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.store.catalogue_records import CatalogueRecord, CatalogueRow, EndedShot, ShotOfRow
from packshot.store.records import Tenant
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import claim, new_delivered, new_image

SCENES = {"axes": [{"name": "scene", "values": {"marble": "on marble", "linen": "on linen"}}]}
FILES = {"deliver": [{"preset": "ebay", "scene": "white"}]}
WINDOW = 64


def mini() -> EngineInfo:
    return find_pack("mini", Settings()).summary()


def items_of(count: int, photo: str = "ph_1") -> list[dict[str, Any]]:
    return [{"sku": f"S{n:05}", "photo": photo} for n in range(count)]


def add_catalogue(store: Store, tenant: Tenant, items: Sequence[dict[str, Any]], **frame: Any) -> CatalogueRecord:
    """Store a draft of these items: by default with one plain picture a SKU, for eBay."""
    body = {"name": "spring", **(frame or FILES), "items": list(items)}
    read = read_manifest(json.dumps(body).encode(), "application/json")
    assert read.manifest is not None
    rows = new_rows(read, Costs(mini(), row_step_s=0.1, picture_s=1.0, composed_s=0.5))
    return store.catalogues.create(tenant.id, read.manifest, rows)


def planned(record: CatalogueRecord, row: CatalogueRow, **changes: Any) -> list[ShotOfRow]:
    """The row's shots, of its masks and with no pixels behind them."""
    assert row.item is not None
    assert row.masks is not None
    return [
        ShotOfRow(
            one.key,
            one.nth,
            one.view,
            one.variant.scene.name,
            replace(spec_of(row.masks[one.photo]), priority="catalogue", **changes),
            row_steps=40,
            device_s=2.0,
            sku=row.sku,
            meta={},
        )
        for one in shots_of(record.frame, item_of(row.item))
    ]


def accept_all(store: Store, record: CatalogueRecord, mask_id: str, window: int = WINDOW) -> int:
    """Open rows and accept their shots, as many as the window lets. Returns how many shots were accepted."""
    work, accepted = store.catalogue_work, 0
    work.open_rows(record.id, window)
    for row in work.rows_to_cut(record.id):
        assert row.item is not None
        work.set_masks(record.id, row.place, [mask_id] * len(item_of(row.item).views()))
    for row in work.rows_to_shoot(record.id):
        accepted += work.accept(record.id, row.place, row.attempt, planned(record, row), window)[0]
    return accepted


def run_shots(store: Store, count: int, *, fail: Sequence[int] = ()) -> None:
    """Do what a director does with the next `count` shots; those with an index in `fail` fail."""
    for index in range(count):
        claimed = claim(store)
        if index in fail:
            store.queue.fail(claimed, "engine_nan", "not finite", retryable=False)
        else:
            store.queue.commit(claimed, [new_image(png=claimed.shot_id.encode())])


def collect(store: Store, record: CatalogueRecord) -> None:
    """Keep how shots ended, make their files, and end rows and the catalogue."""
    work, ended = store.catalogue_work, []
    rows = {row.place: row for row in store.catalogues.rows(record.tenant, record.id, limit=1000)[0]}
    for one in work.live_shots(record.id):
        if one.status == "done":
            item = item_of(rows[one.place].item or "")
            files = next(shot.files for shot in shots_of(record.frame, item) if shot.key == one.key)
            image = store.shots.get(record.tenant, one.shot_id).images[0]
            wanted = tuple((entry, n, None) for entry, n in files)
            ended.append(EndedShot(one.place, one.key, image.id, wanted))
        elif one.status not in ("queued", "running"):
            ended.append(EndedShot(one.place, one.key, code=one.code or "cancelled", detail=one.detail))
    work.shots_ended(record.id, ended)
    for file in work.files_to_make(record.id, 1000):
        made = store.delivered.add(record.tenant, file.image_id, new_delivered(file.image_id.encode()))
        work.reserve_name(record.id, file, f"{rows[file.place].sku}-{file.entry}-{file.n}.jpg")
        work.file_made(record.id, file, made.id)
    if work.settle(record.id):
        work.end(record.id)
