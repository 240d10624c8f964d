"""Masks: kept in order, for a day, unless a shot uses them first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from packshot.errors import Conflict, NotFound
from packshot.store.records import PhotoRecord, Tenant
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
