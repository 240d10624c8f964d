"""Masks: kept in order, for a day, unless a shot uses them first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import update

from packshot.errors import Conflict, NotFound
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.schema import mask
from packshot.store.schema import tenant as tenant_table
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import add_photo, new_mask


def test_masks_are_kept_in_order_for_a_day(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    best, second = store.masks.add(tenant.id, photo.id, [new_mask(b"best"), new_mask(b"second")])
    assert store.masks.get(tenant.id, best.id) == best
    assert (best.photo_id, best.bbox_xyxy, best.score, best.area_px) == (photo.id, (0, 0, 2, 3), 0.9, 6)
    assert store.assets.get(second.asset_key) == b"second"
    assert best.expires_at is not None
    assert 23.9 < (best.expires_at - best.created_at).total_seconds() / 3600 < 24.1
    other = store.tenants.get_or_create("other")
    with pytest.raises(NotFound):
        store.masks.get(other.id, best.id)
    with pytest.raises(NotFound):
        store.masks.add(other.id, photo.id, [new_mask()])
    assert store.masks.add(tenant.id, photo.id, []) == []


def test_a_shot_and_a_delete_racing_for_a_mask_have_one_winner(store: Store, tenant: Tenant) -> None:
    photo = add_photo(store, tenant)
    masks = store.masks.add(tenant.id, photo.id, [new_mask() for _ in range(6)])
    start = threading.Barrier(2)

    def use() -> list[bool]:
        start.wait()
        return [attempt(partial(store.shots.add, tenant.id, spec_of(one.id))) for one in masks]

    def delete() -> list[bool]:
        start.wait()
        return [attempt(partial(store.masks.delete, tenant.id, one.id)) for one in masks]

    with ThreadPoolExecutor(2) as pool:
        used, deleted = pool.submit(use), pool.submit(delete)
    assert [a != b for a, b in zip(used.result(), deleted.result(), strict=True)] == [True] * 6


def attempt(action: Callable[[], object]) -> bool:
    try:
        action()
    except (Conflict, NotFound):
        return False
    return True


def test_a_mask_says_what_it_was_made_from(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    (first,) = store.masks.add(tenant.id, photo.id, [replace(new_mask(), source="points")])
    (second,) = store.masks.add(
        tenant.id, photo.id, [replace(new_mask(b"painted"), source="strokes", parent_id=first.id)]
    )
    assert (first.source, first.parent_id) == ("points", None)
    store.masks.delete(tenant.id, first.id)
    read = store.masks.get(tenant.id, second.id)
    assert (read.source, read.parent_id, read.rgba_key) == ("strokes", first.id, None)


def test_the_own_alpha_of_a_photo_stays_as_long_as_the_photo(
    store: Store, tenant: Tenant, open_store: Callable[..., Store]
) -> None:
    photo = add_photo(store, tenant, "b", own_alpha=(new_mask(b"alpha"), b"rgba"))
    own = store.masks.own_alpha(tenant.id, photo.id)
    assert own is not None
    assert (own.source, own.expires_at) == ("alpha", None)
    assert own.rgba_key is not None
    assert store.assets.get(own.rgba_key) == b"rgba"
    assert add_photo(store, tenant, "b", own_alpha=(new_mask(b"alpha"), b"rgba")) == photo
    assert store.masks.own_alpha(tenant.id, photo.id) == own

    painted = replace(new_mask(b"painted"), source="strokes", parent_id=own.id, rgba_key=own.rgba_key)
    (child,) = store.masks.add(tenant.id, photo.id, [painted])
    store.masks.delete(tenant.id, own.id)
    assert store.assets.exists(own.rgba_key)  # the painted mask still takes its colours from it
    assert store.masks.own_alpha(tenant.id, photo.id) is None
    add_photo(store, tenant, "b", own_alpha=(new_mask(b"alpha"), b"rgba"))
    assert store.masks.own_alpha(tenant.id, photo.id) is not None  # uploaded again, it is there again
    store.masks.delete(tenant.id, child.id)

    sweeper = open_store(retention_days=1e-9)
    sweeper.retention.sweep()
    with pytest.raises(NotFound):
        store.photos.get(tenant.id, photo.id)
    assert list(store.assets.files()) == []


def test_a_sweep_of_masks_leaves_the_own_alpha(store: Store, tenant: Tenant) -> None:
    photo = add_photo(store, tenant, "c", own_alpha=(new_mask(b"alpha"), b"rgba"))
    with store.database.write() as connection:
        long_ago = {"created_at": 0.0}
        connection.execute(update(mask).values(long_ago))
        connection.execute(update(tenant_table).values(retention_days=1.0))
    store.retention.sweep()
    assert store.masks.own_alpha(tenant.id, photo.id) is not None


def test_colours_that_are_gone_refuse_a_mask(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    gone = replace(new_mask(), rgba_key="ab/" + "a" * 64 + ".png")
    with pytest.raises(NotFound):
        store.masks.add(tenant.id, photo.id, [gone])
