"""A delivered file is stored once for a picture and a recipe, and goes with its picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update

from packshot.errors import NotFound
from packshot.store.records import ImageRecord, Tenant
from packshot.store.schema import Now
from packshot.store.schema import tenant as tenants
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import claim, new_delivered, new_image, tamper

DAY_S = 86_400


@pytest.fixture
def image(store: Store, tenant: Tenant) -> ImageRecord:
    store.shots.add(tenant.id, spec_of())
    return store.queue.commit(claim(store), [new_image()]).images[0]


def test_a_file_is_found_by_its_recipe(store: Store, tenant: Tenant, image: ImageRecord) -> None:
    assert store.delivered.find(tenant.id, image.id, "v1 ebay") is None
    made = store.delivered.add(tenant.id, image.id, new_delivered())
    assert store.delivered.find(tenant.id, image.id, "v1 ebay") == made
    assert store.delivered.find(tenant.id, image.id, "v2 ebay") is None
    assert store.delivered.get(tenant.id, made.id) == made
    assert store.assets.get(made.asset_key) == b"file"
    assert (made.bytes, made.sha256) == (4, hashlib.sha256(b"file").hexdigest())
    assert (made.extension, made.notes, made.findings) == ("jpg", ("enlarged", "small"), new_delivered().findings)


def test_the_first_file_of_a_recipe_stays(store: Store, tenant: Tenant, image: ImageRecord) -> None:
    first = store.delivered.add(tenant.id, image.id, new_delivered(b"first"))
    assert store.delivered.add(tenant.id, image.id, new_delivered(b"second")) == first
    assert store.assets.get(first.asset_key) == b"first"


def test_calls_at_once_store_one_file(store: Store, tenant: Tenant, image: ImageRecord) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: store.delivered.add(tenant.id, image.id, new_delivered(b"%d" % n)), range(4)))
    assert len({one.id for one in made}) == 1
    assert store.assets.get(made[0].asset_key).isdigit()


def test_a_file_goes_with_its_picture_and_not_before(store: Store, tenant: Tenant, image: ImageRecord) -> None:
    kept = store.delivered.add(tenant.id, image.id, new_delivered())
    same_bytes = store.delivered.add(tenant.id, image.id, new_delivered(recipe="v1 ebay shadow=none"))
    assert kept.asset_key == same_bytes.asset_key
    store.retention.sweep()
    assert store.assets.get(kept.asset_key) == b"file"
    tamper(store, image.shot_id, finished_at=Now() - 400 * DAY_S)
    with store.database.write() as connection:
        connection.execute(update(tenants).where(tenants.c.id == tenant.id).values(retention_days=30))
    assert store.retention.sweep()["shots"] == 1
    with pytest.raises(NotFound):
        store.delivered.get(tenant.id, kept.id)
    assert not store.assets.exists(kept.asset_key)


def test_another_tenants_pictures_and_files_do_not_exist(store: Store, tenant: Tenant, image: ImageRecord) -> None:
    made = store.delivered.add(tenant.id, image.id, new_delivered())
    other = store.tenants.get_or_create("other")
    calls: list[Callable[[], object]] = [
        lambda: store.delivered.get(other.id, made.id),
        lambda: store.delivered.get(tenant.id, "df_\x00"),
        lambda: store.delivered.add(other.id, image.id, new_delivered()),
        lambda: store.delivered.add(tenant.id, "im_none", new_delivered()),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    assert store.delivered.find(other.id, image.id, "v1 ebay") is None


def test_a_file_is_found_by_its_mark_and_its_instance(store: Store, tenant: Tenant, image: ImageRecord) -> None:
    mark, instance = (1 << 40) - 1, "xmp:iid:0b0e7c9c-2f5b-5f0c-8d6c-2a5f4e3d2c1b"
    new = replace(new_delivered(), mark=mark, instance_id=instance, signed_by="development")
    file = store.delivered.add(tenant.id, image.id, new)
    store.delivered.add(tenant.id, image.id, new_delivered(b"other", "v1 etsy"))
    assert (file.mark, file.instance_id, file.signed_by) == (mark, instance, "development")
    assert store.delivered.with_mark(mark) == store.delivered.with_instance(instance) == [file]
    assert store.delivered.with_mark(7) == store.delivered.with_instance("xmp:iid:other") == []
