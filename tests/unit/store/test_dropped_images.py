"""Pictures that `best_of` painted and did not choose are kept for a day."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from packshot.errors import NotFound
from packshot.store.catalogue_records import EndedShot
from packshot.store.records import ImageRecord, PhotoRecord, Tenant
from packshot.store.schema import image
from packshot.store.store import Store
from tests.unit.store.catalogue_steps import SCENES, accept_all, add_catalogue, items_of
from tests.unit.store.store_rows import add_shots, claim, new_delivered, new_image, new_mask

HOUR_S = 3600


def painted(store: Store, tenant: Tenant, photo: PhotoRecord, chosen: int) -> list[ImageRecord]:
    """Four pictures of a row's shot, of which `chosen` was chosen, then four of a shot of no catalogue."""
    (mask,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    record = add_catalogue(store, tenant, items_of(1, photo.id), **SCENES, choose={"best_of": 4})
    store.catalogues.start(tenant.id, record.id)
    accept_all(store, record, mask.id)
    found = []
    for _ in range(2):  # a shot for each scene
        mine = claim(store)
        found.append(store.queue.commit(mine, [new_image(at, f"{mine.shot_id}{at}".encode()) for at in range(4)]))
    first = found[0]
    live = {one.shot_id: one for one in store.catalogue_work.live_shots(record.id)}[first.id]
    store.catalogue_work.shots_ended(record.id, [EndedShot(live.place, live.key, first.images[chosen].id)])
    add_shots(store, tenant, 1, images=4)
    mine = claim(store)
    alone = store.queue.commit(mine, [new_image(at, f"alone{at}".encode()) for at in range(4)])
    return [*first.images, *found[1].images, *alone.images]


def age(store: Store, hours: float) -> None:
    with store.database.write() as connection:
        connection.execute(update(image).values(created_at=image.c.created_at - hours * HOUR_S))


def left(store: Store, tenant: Tenant, images: list[ImageRecord]) -> list[int]:
    """The places of the pictures that are still there, with their files."""
    found = []
    for place, one in enumerate(images):
        try:
            store.images.get(tenant.id, one.id)
            store.assets.get(one.asset_key)
            found.append(place)
        except NotFound:
            with pytest.raises(NotFound):
                store.assets.get(one.asset_key)
    return found


def test_pictures_that_were_not_chosen_go_after_a_day(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    images = painted(store, tenant, photo, chosen=2)
    age(store, 23)
    assert store.retention.sweep()["dropped_images"] == 0
    age(store, 2)
    assert store.retention.sweep()["dropped_images"] == 3
    assert left(store, tenant, images) == [2, 4, 5, 6, 7, 8, 9, 10, 11], "a shot without a choice keeps all"
    assert store.retention.sweep()["dropped_images"] == 0


def test_what_a_person_used_is_kept(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    images = painted(store, tenant, photo, chosen=0)
    store.reviews.decide(tenant.id, images[1].id, "approved", by="local")
    store.delivered.add(tenant.id, images[3].id, new_delivered(b"file"))
    age(store, 100)
    assert store.retention.sweep()["dropped_images"] == 1
    assert left(store, tenant, images)[:3] == [0, 1, 3]
