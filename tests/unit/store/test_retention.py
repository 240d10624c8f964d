"""The retention sweep deletes what has expired, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from packshot.errors import NotFound
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.schema import Now, mask, photo, tenant
from packshot.store.schema_audit import audit_event
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import add_photo, add_shots, new_image, new_mask, tamper

DAY_S = 86_400


def age_everything(store: Store, days: float) -> None:
    """Make photos and masks some days older."""
    with store.database.write() as connection:
        connection.execute(update(photo).values(used_at=photo.c.used_at - days * DAY_S))
        aged = {"created_at": mask.c.created_at - days * DAY_S, "expires_at": mask.c.expires_at - days * DAY_S}
        connection.execute(update(mask).values(aged))


def age_files(store: Store, hours: float) -> None:
    then = time.time() - hours * 3600
    root = Path(store.settings.asset_root.removeprefix("file://"))
    for file in store.assets.files():
        os.utime(root / file.key, (then, then))


def keep_days(store: Store, owner: Tenant, days: float | None) -> None:
    """Set a tenant's own retention: 0 = for ever, None = the setting's value."""
    with store.database.write() as connection:
        connection.execute(update(tenant).where(tenant.c.id == owner.id).values(retention_days=days))


def finished_shot(store: Store, tenant: Tenant, mask_id: str, png: bytes = b"image") -> str:
    store.shots.add(tenant.id, spec_of(mask_id))
    mine = store.queue.claim("w")
    assert mine is not None
    return store.queue.commit(mine, [new_image(png=png)]).id


def test_nothing_goes_that_is_in_use(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    (used,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    shot_id = finished_shot(store, tenant, used.id)
    age_everything(store, 400)
    tamper(store, shot_id, finished_at=Now() - 400 * DAY_S)
    age_files(store, 400)
    assert set(store.retention.sweep().values()) == {0}  # retention is 0: for ever
    assert store.assets.get(store.shots.get(tenant.id, shot_id).images[0].asset_key) == b"image"


def test_a_candidate_mask_expires_unless_a_shot_took_it_up(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    used, unused = store.masks.add(tenant.id, photo.id, [new_mask(b"used"), new_mask(b"unused")])
    add = store.shots.add(tenant.id, spec_of(used.id))[0]
    age_everything(store, 1.01)
    with pytest.raises(NotFound):
        store.masks.get(tenant.id, unused.id)  # before any sweep
    with pytest.raises(NotFound):
        store.shots.add(tenant.id, spec_of(unused.id))
    assert store.retention.sweep()["masks"] == 1
    assert not store.assets.exists(unused.asset_key)
    assert store.masks.get(tenant.id, used.id).expires_at is None
    store.shots.cancel(tenant.id, add.id)


def test_retention_takes_ended_shots_then_what_they_were_made_of(open_store: Callable[..., Store]) -> None:
    store = open_store(retention_days=30)
    tenant = store.tenants.get_or_create("acme")
    photo = add_photo(store, tenant)
    (used,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    old = finished_shot(store, tenant, used.id, b"old")
    recent = finished_shot(store, tenant, used.id, b"recent")
    age_everything(store, 31)
    tamper(store, old, finished_at=Now() - 31 * DAY_S)
    swept = store.retention.sweep()
    assert (swept["shots"], swept["photos"], swept["masks"]) == (1, 0, 0)  # the recent shot still holds its photo
    assert len(store.shots.get(tenant.id, recent).images) == 1
    tamper(store, recent, finished_at=Now() - 31 * DAY_S)
    store.retention.sweep()
    store.retention.sweep()
    with pytest.raises(NotFound):
        store.photos.get(tenant.id, photo.id)
    assert list(store.assets.files()) == []


def test_a_tenants_own_retention_wins(open_store: Callable[..., Store]) -> None:
    store = open_store(retention_days=30)
    keeper, other = store.tenants.get_or_create("keeper"), store.tenants.get_or_create("other")
    keep_days(store, keeper, 0)
    kept, gone = add_photo(store, keeper), add_photo(store, other)
    age_everything(store, 31)
    assert store.retention.sweep()["photos"] == 1
    assert store.photos.get(keeper.id, kept.id) == kept
    with pytest.raises(NotFound):
        store.photos.get(other.id, gone.id)
    keep_days(store, keeper, None)
    assert store.retention.sweep()["photos"] == 1


def test_uploading_again_restarts_retention(open_store: Callable[..., Store]) -> None:
    store = open_store(retention_days=30)
    tenant = store.tenants.get_or_create("acme")
    photo = add_photo(store, tenant)
    age_everything(store, 31)
    assert add_photo(store, tenant).id == photo.id
    assert store.retention.sweep()["photos"] == 0


def test_idempotency_keys_are_kept_a_day_and_while_the_shot_lives(store: Store, tenant: Tenant) -> None:
    live = store.shots.add(tenant.id, spec_of(priority="catalogue"), idempotency_key="live")[0]
    ended = store.shots.add(tenant.id, spec_of(), idempotency_key="ended")[0]
    young = store.shots.add(tenant.id, spec_of(), idempotency_key="young")[0]
    for one in (ended, young):
        store.shots.cancel(tenant.id, one.id)
    for one in (live, ended):
        tamper(store, one.id, created_at=Now() - DAY_S - 1)
    assert store.retention.sweep()["idempotency_keys"] == 1
    catalogue = spec_of(priority="catalogue")
    assert store.shots.add(tenant.id, catalogue, idempotency_key="live")[0].id == live.id
    assert store.shots.add(tenant.id, spec_of(), idempotency_key="young")[0].id == young.id
    assert store.shots.add(tenant.id, spec_of(), idempotency_key="ended")[0].id != ended.id


def test_old_orphans_go_and_young_ones_stay(store: Store, tenant: Tenant) -> None:
    held = add_photo(store, tenant)
    lost = store.assets.put(b"its transaction never came", ".png")
    store.assets.put_at("previews/sh_old.png", b"preview")
    age_files(store, 2)
    young = store.assets.put(b"its transaction is under way", ".png")
    assert store.retention.sweep()["files"] == 2
    assert sorted(file.key for file in store.assets.files()) == sorted([held.asset_key, young])
    assert not store.assets.exists(lost)


def test_a_shot_that_waits_or_runs_is_never_swept(open_store: Callable[..., Store]) -> None:
    store = open_store(retention_days=1)
    tenant = store.tenants.get_or_create("acme")
    for shot_id in add_shots(store, tenant, 2):
        tamper(store, shot_id, created_at=Now() - 90 * DAY_S)
    store.queue.claim("w")
    assert store.retention.sweep()["shots"] == 0
    assert store.queue.counts()["queued"] == 1


def test_nothing_of_a_tenant_under_a_legal_hold_goes(
    open_store: Callable[..., Store], tenant: Tenant, photo: PhotoRecord
) -> None:
    store = open_store(retention_days=1, audit_days=1)
    used, _ = store.masks.add(tenant.id, photo.id, [new_mask(), new_mask(b"draft")])
    tamper(store, finished_shot(store, tenant, used.id), finished_at=Now() - 400 * DAY_S)
    store.audit.chain(tenant.id)
    age_everything(store, 400)
    with store.database.write() as connection:
        connection.execute(update(audit_event).values(at=audit_event.c.at - 400 * DAY_S))
    store.deletions.hold(tenant.id, "case 4711")
    assert set(store.retention.sweep().values()) == {0}
    store.deletions.hold(tenant.id, None)
    swept = store.retention.sweep()
    assert {name: swept[name] for name in ("shots", "masks", "photos", "audit_lines")} == {
        "shots": 1,
        "masks": 1,
        "photos": 1,
        "audit_lines": 3,
    }
