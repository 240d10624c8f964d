"""Photos: identity, ownership, and when they may be deleted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from packshot.errors import Conflict, NotFound
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import add_photo, new_image, new_mask


def test_the_same_bytes_are_the_same_photo_of_a_tenant(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    assert add_photo(store, tenant) == photo == store.photos.get(tenant.id, photo.id)
    other = add_photo(store, store.tenants.get_or_create("other"))
    assert other.id != photo.id
    assert other.asset_key == photo.asset_key
    with pytest.raises(NotFound):
        store.photos.get(tenant.id, other.id)


def test_racing_uploads_of_the_same_bytes_make_one_photo(store: Store, tenant: Tenant) -> None:
    start = threading.Barrier(8)

    def upload(_: int) -> str:
        start.wait()
        return add_photo(store, tenant).id

    with ThreadPoolExecutor(8) as pool:
        (photo_id,) = set(pool.map(upload, range(8)))
    asset_key = store.photos.get(tenant.id, photo_id).asset_key
    store.photos.delete(tenant.id, photo_id)
    assert not store.assets.exists(asset_key)  # every lost race gave its reference back


def test_a_shared_file_goes_with_its_last_photo(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    other = store.tenants.get_or_create("other")
    twin = add_photo(store, other)
    store.photos.delete(tenant.id, photo.id)
    with pytest.raises(NotFound):
        store.photos.get(tenant.id, photo.id)
    assert store.assets.exists(twin.asset_key)
    store.photos.delete(other.id, twin.id)
    assert not store.assets.exists(twin.asset_key)


def test_racing_upload_and_delete_neither_deadlock_nor_leave_a_photo_without_its_file(
    store: Store, tenant: Tenant
) -> None:
    def upload() -> None:
        for _ in range(6):
            add_photo(store, tenant)

    def delete() -> None:
        for _ in range(6):
            with suppress(NotFound):
                store.photos.delete(tenant.id, add_photo(store, tenant).id)

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(work) for work in (upload, delete) * 2]
    for task in tasks:
        task.result()
    assert store.assets.get(add_photo(store, tenant).asset_key)


def test_deleting_a_photo_deletes_its_masks_and_files(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    masks = store.masks.add(tenant.id, photo.id, [new_mask(b"same"), new_mask(b"same"), new_mask(b"other")])
    store.masks.delete(tenant.id, masks[0].id)
    assert store.assets.exists(masks[1].asset_key)
    store.photos.delete(tenant.id, photo.id)
    for one in masks:
        with pytest.raises(NotFound):
            store.masks.get(tenant.id, one.id)
    assert list(store.assets.files()) == []
    with pytest.raises(NotFound):
        store.photos.delete(tenant.id, photo.id)


def test_what_a_live_shot_needs_cannot_be_deleted(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    used, unused = store.masks.add(tenant.id, photo.id, [new_mask(), new_mask()])
    store.shots.add(tenant.id, spec_of(used.id))

    def refused() -> None:
        for call, name in ((store.masks.delete, used.id), (store.photos.delete, photo.id)):
            with pytest.raises(Conflict) as caught:
                call(tenant.id, name)
            assert caught.value.code == "in_use"

    refused()  # queued
    mine = store.queue.claim("w")
    assert mine is not None
    refused()  # running
    store.masks.delete(tenant.id, unused.id)
    done = store.queue.commit(mine, [new_image()])
    store.photos.delete(tenant.id, photo.id)
    assert store.shots.get(tenant.id, done.id) == done
    assert store.assets.get(done.images[0].asset_key) == b"image"
