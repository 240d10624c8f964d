"""The producer takes a catalogue to its end: every row is done, failed or skipped, with its reason, and every file is
written once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from packshot.api.decoding import LocalDecoder
from packshot.catalogue.producer import Producer
from packshot.contract.light import Relight
from packshot.contract.proof import Proof
from packshot.settings import Settings
from packshot.store.catalogue_records import CatalogueRecord, CatalogueRow
from packshot.store.records import NewMask, PhotoRecord, Tenant
from packshot.store.store import Store
from packshot.types import Detection
from tests.migrated import migrated_home
from tests.unit.catalogue.producing import BOX, QuickGraph, add_photo, run_until, settings_of, state_of
from tests.unit.store.catalogue_steps import add_catalogue

SMALL = {"canvas": [128, 128]}
WHITE = {"preset": "ebay", "scene": "white", "name": "{sku}-{n:02}.{ext}"}
SCENES = [{"name": "scene", "values": {"marble": "on marble", "linen": "on linen"}}]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(migrated_home(tmp_path))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(Store.from_settings(settings)) as opened:
        yield opened


@pytest.fixture
def tenant(store: Store) -> Tenant:
    return store.tenants.get_or_create("brand")


@pytest.fixture
def photo(store: Store, tenant: Tenant) -> PhotoRecord:
    return add_photo(store, tenant)


def rows_of(store: Store, record: CatalogueRecord) -> dict[str, CatalogueRow]:
    return {row.sku: row for row in store.catalogues.rows(record.tenant, record.id, limit=1000)[0]}


def run(store: Store, settings: Settings, record: CatalogueRecord, **options: Any) -> None:
    """Start the catalogue and run it to its end."""
    store.catalogues.start(record.tenant, record.id)
    asyncio.run(run_until(store, settings, lambda: state_of(store, record) == "done", **options))


def test_every_row_ends_with_its_reason(
    store: Store, settings: Settings, tenant: Tenant, photo: PhotoRecord, tmp_path: Path
) -> None:
    out = (tmp_path / "out").as_uri()
    deliver = [
        {"preset": "shopify", "name": "{sku}-{scene}-{n:02}.{ext}", "to": out},
        {"preset": "ebay", "scene": "white", "name": "{sku}-main.{ext}"},
        {"preset": "ebay", "scene": "white", "name": "{sku}.{ext}", "to": f"{out}/all.zip"},
    ]
    items: list[dict[str, Any]] = [
        {"sku": "GOOD", "photo": photo.id, "box": BOX},
        {"sku": "TWO", "photos": [{"view": one, "photo": photo.id} for one in ("front", "side")], "points": [[50, 40]]},
        {"sku": "NOTHING", "photo": photo.id},
        {"sku": "CORRUPT", "photo": "broken.jpg", "box": BOX},
        {"sku": "OUTSIDE", "photo": photo.id, "box": [0, 0, 500, 60]},
        {"sku": "GONE", "photo": "ph_AAAA", "box": BOX},
        {"sku": "ENGINE", "photo": photo.id, "box": BOX},
    ]
    record = add_catalogue(store, tenant, items, defaults=SMALL, axes=SCENES, deliver=deliver)
    store.catalogue_photos.failed(tenant.id, record.id, "broken.jpg", "photo_unreadable", "cut short")
    run(store, settings, record, fails=frozenset({"ENGINE"}))
    rows = rows_of(store, record)
    assert {sku: (row.state, row.code) for sku, row in rows.items()} == {
        "GOOD": ("done", None),
        "TWO": ("skipped", "product_not_found"),  # the points are the first photo's
        "NOTHING": ("skipped", "product_not_found"),
        "CORRUPT": ("failed", "photo_unreadable"),
        "OUTSIDE": ("failed", "box_invalid"),
        "GONE": ("failed", "photo_missing"),
        "ENGINE": ("failed", "engine_nan"),
    }
    assert all(row.detail for row in rows.values() if row.state != "done")
    good = rows["GOOD"]
    assert [(one.scene, one.state) for one in good.shots] == [("marble", "done"), ("linen", "done"), ("", "done")]
    assert [(one.name, one.state) for one in good.files] == [
        ("GOOD-marble-01.jpg", "made"),
        ("GOOD-linen-02.jpg", "made"),
        ("GOOD-main.jpg", "made"),
        ("GOOD.jpg", "made"),
    ]
    written = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert written == ["GOOD-linen-02.jpg", "GOOD-marble-01.jpg", "all.zip"]
    shot = store.shots.get(tenant.id, good.shots[0].shot_id)
    assert (shot.priority, shot.sku, shot.meta) == ("catalogue", "GOOD", {"scene": "marble", "view": "front"})
    assert shot.spec.prompt == "on marble"
    layer = shot.spec.layers[0]
    bottom_px = (layer.y + layer.scale * 42 / 62 / 2) * 128  # the mask of 60 x 40 px has a soft edge of 1 px
    assert abs(bottom_px - 0.82 * 128) < 4


def test_a_row_whose_photo_lacks_the_named_product_is_skipped(
    store: Store, settings: Settings, tenant: Tenant, photo: PhotoRecord
) -> None:
    mug, other = Detection((20, 20, 60, 60), 0.9), Detection((70, 20, 110, 60), 0.6)
    views = [{"view": view, "photo": photo.id} for view in ("front", "back", "detail")]
    items: list[dict[str, Any]] = [
        {"sku": "ONE", "photo": photo.id, "find": "mug", "box": [10, 10, 65, 65]},
        {"sku": "SEVERAL", "photo": photo.id},
        {"sku": "ELSEWHERE", "photo": photo.id, "box": [0, 0, 30, 30]},
        {"sku": "ABSENT", "photo": photo.id, "find": "saucer"},
        {"sku": "UNKNOWN", "photo": photo.id, "find": "杯子"},
        {"sku": "VIEWS", "photos": [*views[:2], {"view": "detail", "photo": photo.id}], "points": [[50, 50]]},
    ]
    record = add_catalogue(store, tenant, items, defaults={**SMALL, "find": "mug"}, deliver=[WHITE])
    run(store, settings, record, shown={"mug": (mug, other), "saucer": ()})
    rows = rows_of(store, record)
    assert {sku: (row.state, row.code) for sku, row in rows.items()} == {
        "ONE": ("done", None),
        "SEVERAL": ("done", "several_found"),
        "ELSEWHERE": ("skipped", "no_product"),
        "ABSENT": ("skipped", "no_product"),
        "UNKNOWN": ("skipped", "no_product"),
        "VIEWS": ("skipped", "product_not_found"),  # the view of a detail has neither words nor marks
    }
    assert "nothing in the photo is 'saucer'" in (rows["ABSENT"].detail or "")
    assert "the detector knows" in (rows["UNKNOWN"].detail or "")
    assert "where the box" in (rows["ELSEWHERE"].detail or "")
    found = [store.masks.get(tenant.id, (rows[sku].masks or ("",))[0]) for sku in ("ONE", "SEVERAL")]
    assert [(mask.bbox_xyxy, mask.source) for mask in found] == [((20, 20, 60, 60), "text")] * 2


def test_only_the_painted_scenes_of_a_catalogue_are_relit(
    store: Store, settings: Settings, tenant: Tenant, photo: PhotoRecord
) -> None:
    items = [{"sku": "CUP", "photo": photo.id, "box": BOX}]
    look = {**SMALL, "relight": {"amount": 0.3}}
    white = {"preset": "ebay", "scene": "white", "name": "{sku}.{ext}"}
    record = add_catalogue(store, tenant, items, axes=SCENES, defaults=look, deliver=[white])
    run(store, settings, record)
    specs = [store.shots.get(tenant.id, one.shot_id).spec for one in rows_of(store, record)["CUP"].shots]
    relit = {spec.background.name: spec.relight for spec in specs}
    assert relit == {"generate": Relight(0.3), "white": None}


def test_a_category_holds_files_until_a_person_approves(
    store: Store, settings: Settings, tenant: Tenant, photo: PhotoRecord
) -> None:
    items = [{"sku": "CREAM", "photo": photo.id, "box": BOX, "category": "cosmetics"}]
    record = add_catalogue(store, tenant, items, defaults=SMALL, deliver=[{"preset": "ebay", "scene": "white"}])
    run(store, settings, record)
    [held] = rows_of(store, record)["CREAM"].files
    assert held.state == "held"
    store.reviews.decide(tenant.id, held.image_id, "approved", by="a test")
    asyncio.run(run_until(store, settings, lambda: rows_of(store, record)["CREAM"].files[0].state == "made"))
    assert rows_of(store, record)["CREAM"].files[0].name == "CREAM-01.jpg"


def test_a_row_in_a_category_is_proven_against_its_master(
    store: Store, settings: Settings, tenant: Tenant, photo: PhotoRecord
) -> None:
    row: dict[str, Any] = {"photo": photo.id, "box": BOX}
    items: list[dict[str, Any]] = [
        {"sku": "CREAM", **row, "category": "cosmetics", "proof": {"must_read": ["30 ml"], "master": photo.id}},
        {"sku": "MUG", **row},
        {"sku": "LOST", **row, "proof": {"master": "ph_0123456789abcdefghij"}},
    ]
    record = add_catalogue(store, tenant, items, defaults=SMALL, deliver=[{"preset": "ebay", "scene": "white"}])
    run(store, settings, record)
    rows = rows_of(store, record)
    proofs = {
        sku: [store.shots.get(tenant.id, one.shot_id).spec.proof for one in row.shots] for sku, row in rows.items()
    }
    assert proofs == {"CREAM": [Proof(must_read=("30 ml",), master=photo.id)], "MUG": [None], "LOST": []}
    assert (rows["LOST"].state, rows["LOST"].code) == ("failed", "photo_missing")
    assert rows["CREAM"].files[0].state == "held"


def test_the_best_of_several_pictures_is_kept(
    store: Store, settings: Settings, tenant: Tenant, photo: PhotoRecord
) -> None:
    items = [{"sku": "A", "photo": photo.id, "box": BOX}]
    record = add_catalogue(store, tenant, items, defaults=SMALL, axes=SCENES, choose={"best_of": 3})
    run(store, settings, record)
    for one in rows_of(store, record)["A"].shots:
        images = store.shots.get(tenant.id, one.shot_id).images
        assert len(images) == 3
        assert one.image_id == images[0].id  # equals: the first
    assert store.catalogues.get(tenant.id, record.id).spent_images == 6


def test_a_budget_stops_before_it_is_exceeded_and_goes_on_when_resumed(
    store: Store, settings: Settings, tenant: Tenant, photo: PhotoRecord
) -> None:
    items = [{"sku": f"S{n}", "photo": photo.id, "box": BOX} for n in range(3)]
    frame = {"defaults": SMALL, "deliver": [{"preset": "ebay", "scene": "white"}], "budget": {"images": 2}}
    record = add_catalogue(store, tenant, items, **frame)
    store.catalogues.start(tenant.id, record.id)

    def paused() -> bool:
        counts = store.catalogues.get(tenant.id, record.id).counts
        return state_of(store, record) == "paused" and counts.done == 2

    asyncio.run(run_until(store, settings, paused))
    assert store.catalogues.get(tenant.id, record.id).spent_images == 2
    store.catalogues.resume(tenant.id, record.id)
    asyncio.run(run_until(store, settings, lambda: state_of(store, record) == "done"))
    assert store.catalogues.get(tenant.id, record.id).counts.done == 3


async def test_a_producer_in_standby_claims_nothing(
    store: Store, settings: Settings, tenant: Tenant, photo: PhotoRecord
) -> None:
    item = {"sku": "A", "photo": photo.id, "box": BOX}
    record = add_catalogue(store, tenant, [item], defaults=SMALL, axes=SCENES)
    store.catalogues.start(tenant.id, record.id)
    assert store.clusters.is_active("old", ("mini",))
    assert not store.clusters.is_active("new", ("mini",))

    def producer_of(cluster: str) -> Producer:
        may_start = partial(store.clusters.may_produce, cluster)
        decoder = cast(LocalDecoder, None)
        return Producer(store, QuickGraph(), decoder, settings, worker=cluster, may_start=may_start)

    new, old = producer_of("new"), producer_of("old")
    assert not await new.look()
    assert await old.look()
    old.release()
    store.clusters.activate("new", ("mini",))  # clients call it
    assert await new.look()


async def test_a_photo_that_is_cut_out_already_costs_no_segmentation(
    store: Store, settings: Settings, tenant: Tenant
) -> None:
    alpha = NewMask(score=1.0, area_px=2400, bbox_xyxy=(20, 20, 80, 60), png=b"alpha")
    cut_out = store.photos.add(
        tenant.id, png=b"p", width=120, height=90, format="PNG", bytes=1, sha256="c" * 64, own_alpha=(alpha, b"rgba")
    )
    items: list[dict[str, Any]] = [
        {"sku": "OWN", "photo": cut_out.id},
        {"sku": "CLICKED", "photo": cut_out.id, "box": [10, 10, 90, 70]},
        {"sku": "ELSEWHERE", "photo": cut_out.id, "box": [30, 30, 100, 70]},  # not what its alpha shows
    ]
    record = add_catalogue(store, tenant, items, defaults=SMALL, axes=SCENES)
    store.catalogues.start(tenant.id, record.id)
    graph = await run_until(store, settings, lambda: state_of(store, record) == "done")
    assert {row.state for row in rows_of(store, record).values()} == {"done"}
    assert len(graph.base_keys) == 1
