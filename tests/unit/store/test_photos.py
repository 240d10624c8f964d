"""Photos and masks: identity, ownership, and when they may go."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from store_rows import add_photo, new_image, new_mask

from packshot.errors import Conflict, NotFound
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.store import Store
from tests.specs import spec_of


def test_the_same_bytes_are_the_same_photo_of_a_tenant(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    assert add_photo(store, tenant) == photo == store.photo(tenant.id, photo.id)
    other = add_photo(store, store.tenant("other"))
    assert other.id != photo.id
    assert other.asset_key == photo.asset_key
    with pytest.raises(NotFound):
        store.photo(tenant.id, other.id)


def test_racing_uploads_of_the_same_bytes_make_one_photo(store: Store, tenant: Tenant) -> None:
    start = threading.Barrier(8)

    def upload(_: int) -> str:
        start.wait()
        return add_photo(store, tenant).id

    with ThreadPoolExecutor(8) as pool:
        (photo_id,) = set(pool.map(upload, range(8)))
    asset_key = store.photo(tenant.id, photo_id).asset_key
    store.delete_photo(tenant.id, photo_id)
    assert not store.assets.exists(asset_key)  # every lost race gave its reference back


def test_a_shared_file_goes_with_its_last_photo(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    other = store.tenant("other")
    twin = add_photo(store, other)
    store.delete_photo(tenant.id, photo.id)
    with pytest.raises(NotFound):
        store.photo(tenant.id, photo.id)
    assert store.assets.exists(twin.asset_key)
    store.delete_photo(other.id, twin.id)
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
                store.delete_photo(tenant.id, add_photo(store, tenant).id)

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(work) for work in (upload, delete) * 2]
    for task in tasks:
        task.result()
    assert store.assets.get(add_photo(store, tenant).asset_key)


def test_masks_are_kept_in_order_for_a_day(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    best, second = store.add_masks(tenant.id, photo.id, [new_mask(b"best"), new_mask(b"second")])
    assert store.mask(tenant.id, best.id) == best
    assert (best.photo_id, best.bbox_xyxy, best.score, best.area_px) == (photo.id, (0, 0, 2, 3), 0.9, 6)
    assert store.assets.get(second.asset_key) == b"second"
    assert best.expires_at is not None
    assert 23.9 < (best.expires_at - best.created_at).total_seconds() / 3600 < 24.1
    other = store.tenant("other")
    with pytest.raises(NotFound):
        store.mask(other.id, best.id)
    with pytest.raises(NotFound):
        store.add_masks(other.id, photo.id, [new_mask()])
    assert store.add_masks(tenant.id, photo.id, []) == []


def test_deleting_a_photo_deletes_its_masks_and_files(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    masks = store.add_masks(tenant.id, photo.id, [new_mask(b"same"), new_mask(b"same"), new_mask(b"other")])
    store.delete_mask(tenant.id, masks[0].id)
    assert store.assets.exists(masks[1].asset_key)
    store.delete_photo(tenant.id, photo.id)
    for one in masks:
        with pytest.raises(NotFound):
            store.mask(tenant.id, one.id)
    assert list(store.assets.files()) == []
    with pytest.raises(NotFound):
        store.delete_photo(tenant.id, photo.id)


def test_what_a_live_shot_needs_cannot_be_deleted(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    used, unused = store.add_masks(tenant.id, photo.id, [new_mask(), new_mask()])
    store.add_shot(tenant.id, spec_of(used.id))

    def refused() -> None:
        for call, name in ((store.delete_mask, used.id), (store.delete_photo, photo.id)):
            with pytest.raises(Conflict) as caught:
                call(tenant.id, name)
            assert caught.value.code == "in_use"

    refused()  # queued
    mine = store.claim("w")
    assert mine is not None
    refused()  # running
    store.delete_mask(tenant.id, unused.id)
    done = store.commit(mine, [new_image()])
    store.delete_photo(tenant.id, photo.id)
    assert store.shot(tenant.id, done.id) == done
    assert store.assets.get(done.images[0].asset_key) == b"image"


def test_a_shot_and_a_delete_racing_for_a_mask_have_one_winner(store: Store, tenant: Tenant) -> None:
    photo = add_photo(store, tenant)
    masks = store.add_masks(tenant.id, photo.id, [new_mask() for _ in range(6)])
    start = threading.Barrier(2)

    def use() -> list[bool]:
        start.wait()
        return [attempt(lambda one=one: store.add_shot(tenant.id, spec_of(one.id))) for one in masks]

    def delete() -> list[bool]:
        start.wait()
        return [attempt(lambda one=one: store.delete_mask(tenant.id, one.id)) for one in masks]

    with ThreadPoolExecutor(2) as pool:
        used, deleted = pool.submit(use), pool.submit(delete)
    assert [a != b for a, b in zip(used.result(), deleted.result(), strict=True)] == [True] * 6


def attempt(action: object) -> bool:
    try:
        action()  # type: ignore[operator]
    except (Conflict, NotFound):
        return False
    return True
