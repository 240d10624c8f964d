"""The gain file of a relit picture lives as long as the picture, and relit metal in a catalogue waits for a person."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from packshot.contract.light import Relight
from packshot.contract.verdict import Finding, Verdict
from packshot.errors import Conflict, NotFound
from packshot.store.catalogue_records import EndedShot
from packshot.store.records import ImageRecord, NewImage, PhotoRecord, Tenant
from packshot.store.schema import Now, image
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.catalogue_steps import SCENES, accept_all, add_catalogue, items_of
from tests.unit.store.store_rows import add_shots, claim, new_image, new_mask, tamper

METAL = Verdict((Finding("material", "warning", "the product seems to be of metal", 0.9),))
OPAQUE = Verdict((Finding("material", "ok", "the product seems to be opaque", 0.9),))


def made(store: Store, tenant: Tenant, *images: NewImage, **changes: object) -> tuple[ImageRecord, ...]:
    add_shots(store, tenant, 1, relight=Relight(), images=len(images), **changes)
    return store.queue.commit(claim(store), images).images


def test_a_picture_knows_its_gain_and_a_picture_without_one_has_none(store: Store, tenant: Tenant) -> None:
    lit, plain = made(store, tenant, new_image(0, b"a", gain_png=b"gain"), new_image(1, b"b"))
    assert lit.gain_key is not None
    assert store.assets.get(lit.gain_key) == b"gain"
    assert store.images.get(tenant.id, lit.id).gain_key == lit.gain_key
    assert plain.gain_key is None


def test_retention_takes_the_gain_with_its_last_picture(store: Store, tenant: Tenant) -> None:
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE tenant SET retention_days = 1")
    first = made(store, tenant, new_image(0, b"a", gain_png=b"gain"), new_image(1, b"b", gain_png=b"gain"))
    second = made(store, tenant, new_image(0, b"c", gain_png=b"gain"))
    key = first[0].gain_key
    assert key is not None
    for shot, stays in ((first, True), (second, False)):
        tamper(store, shot[0].shot_id, finished_at=Now() - 2 * 86_400)
        assert store.retention.sweep()["shots"] == 1
        assert store.assets.exists(key) is stays


def test_a_dropped_picture_takes_its_gain_along(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    (mask,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    record = add_catalogue(store, tenant, items_of(1, photo.id), **SCENES, choose={"best_of": 2})
    store.catalogues.start(tenant.id, record.id)
    accept_all(store, record, mask.id)
    mine = claim(store)
    images = [new_image(at, f"picture {at}".encode(), gain_png=f"gain {at}".encode()) for at in range(2)]
    dropped, chosen = store.queue.commit(mine, images).images
    live = {one.shot_id: one for one in store.catalogue_work.live_shots(record.id)}[mine.shot_id]
    store.catalogue_work.shots_ended(record.id, [EndedShot(live.place, live.key, chosen.id)])
    with store.database.write() as connection:
        connection.execute(update(image).values(created_at=image.c.created_at - 2 * 86_400))
    assert store.retention.sweep()["dropped_images"] == 1
    assert dropped.gain_key is not None
    assert chosen.gain_key is not None
    assert not store.assets.exists(dropped.gain_key)
    assert store.assets.exists(chosen.gain_key)
    with pytest.raises(NotFound):
        store.images.get(tenant.id, dropped.id)


@pytest.mark.parametrize(
    ("verdict", "gain", "priority", "held"),
    [
        (METAL, b"gain", "catalogue", True),
        (METAL, b"gain", "interactive", False),  # a person looks at it anyway
        (METAL, None, "catalogue", False),  # it was not relit
        (OPAQUE, b"gain", "catalogue", False),
    ],
)
def test_relit_metal_in_a_catalogue_leaves_only_approved(
    store: Store, tenant: Tenant, verdict: Verdict, gain: bytes | None, priority: str, held: bool
) -> None:
    [made_image] = made(store, tenant, new_image(verdict=verdict, gain_png=gain), priority=priority)
    if not held:
        store.reviews.require_approved(tenant.id, [made_image.id])
        return
    with pytest.raises(Conflict, match="not_approved"):
        store.reviews.require_approved(tenant.id, [made_image.id])
    store.reviews.decide(tenant.id, made_image.id, "approved", by="a test")
    store.reviews.require_approved(tenant.id, [made_image.id])


def test_a_category_that_the_row_has_stays(store: Store, tenant: Tenant) -> None:
    shot, _ = store.shots.add(tenant.id, spec_of(relight=Relight(), priority="catalogue"), category="cosmetics")
    store.queue.commit(claim(store), [new_image(verdict=METAL, gain_png=b"gain")])
    assert store.shots.get(tenant.id, shot.id).category == "cosmetics"
