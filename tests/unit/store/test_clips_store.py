"""Clips live as long as their picture and the work that made them, and their files go with them."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from packshot.contract.clips import ClipJob
from packshot.errors import NotFound
from packshot.store.clip_records import ClipRecord, NewClip
from packshot.store.records import ImageRecord, NewJob, Tenant
from packshot.store.schema import Now
from packshot.store.schema import tenant as tenants
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import add_shots, claim, new_image, tamper

DAY_S = 86400.0


def a_picture(store: Store, tenant: Tenant) -> ImageRecord:
    add_shots(store, tenant, 1)
    return store.queue.commit(claim(store), [new_image()]).images[0]


def a_clip(store: Store, tenant: Tenant, picture: ImageRecord, data: bytes = b"film") -> ClipRecord:
    job = ClipJob(picture.id, "orbit", 2.0, 64, "webp")
    store.shots.add(tenant.id, spec_of(priority="catalogue"), row_steps=0, job=NewJob("clip", job.to_json(), images=0))
    made = store.queue.commit(claim(store), [NewClip(job, data, 64, 48)])
    assert made.clip is not None
    return made.clip


def keep_for_a_month(store: Store, tenant: Tenant) -> None:
    with store.database.write() as connection:
        connection.execute(update(tenants).where(tenants.c.id == tenant.id).values(retention_days=30))


def gone(store: Store, tenant: Tenant, clip: ClipRecord) -> bool:
    with pytest.raises(NotFound):
        store.clips.get(tenant.id, clip.id)
    with pytest.raises(NotFound):
        store.assets.get(clip.asset_key)
    return True


def test_a_clip_is_what_its_row_made(store: Store, tenant: Tenant) -> None:
    picture = a_picture(store, tenant)
    clip = a_clip(store, tenant, picture)
    assert store.clips.get(tenant.id, clip.id) == clip
    assert store.assets.get(clip.asset_key) == b"film"
    assert (clip.image_id, clip.width, clip.height, clip.bytes) == (picture.id, 64, 48, 4)
    assert clip.media_type == "image/webp"
    assert clip.asset_key.endswith(".webp")


def test_it_counts_no_pictures(store: Store, tenant: Tenant) -> None:
    a_clip(store, tenant, a_picture(store, tenant))
    assert store.usage.page(tenant.id, "day").total.pictures == 1


def test_it_goes_with_its_picture(store: Store, tenant: Tenant) -> None:
    keep_for_a_month(store, tenant)
    picture = a_picture(store, tenant)
    clip = a_clip(store, tenant, picture)
    tamper(store, picture.shot_id, finished_at=Now() - 400 * DAY_S)
    assert store.retention.sweep()["shots"] == 1
    assert gone(store, tenant, clip)
    assert store.shots.get(tenant.id, clip.shot_id).clip is None


def test_it_goes_with_the_work_that_made_it(store: Store, tenant: Tenant) -> None:
    keep_for_a_month(store, tenant)
    picture = a_picture(store, tenant)
    clip = a_clip(store, tenant, picture)
    tamper(store, clip.shot_id, finished_at=Now() - 400 * DAY_S)
    assert store.retention.sweep()["shots"] == 1
    assert gone(store, tenant, clip)
    assert store.images.get(tenant.id, picture.id).id == picture.id


def test_two_clips_with_the_same_bytes_share_a_file(store: Store, tenant: Tenant) -> None:
    keep_for_a_month(store, tenant)
    picture = a_picture(store, tenant)
    first, second = a_clip(store, tenant, picture), a_clip(store, tenant, picture)
    assert first.asset_key == second.asset_key
    tamper(store, first.shot_id, finished_at=Now() - 400 * DAY_S)
    store.retention.sweep()
    assert store.assets.get(second.asset_key) == b"film"


def test_a_deleted_tenant_leaves_no_clip(store: Store, tenant: Tenant) -> None:
    clip = a_clip(store, tenant, a_picture(store, tenant))
    store.deletions.delete(tenant.id, by="a test")
    assert gone(store, tenant, clip)


def test_a_clip_of_a_picture_that_is_gone_is_not_stored(store: Store, tenant: Tenant) -> None:
    job = ClipJob("im_none", "pan", 1.0, 64, "webp")
    store.shots.add(tenant.id, spec_of(), job=NewJob("clip", job.to_json(), images=0))
    mine = claim(store)
    with pytest.raises(NotFound):
        store.queue.commit(mine, [NewClip(job, b"film", 64, 48)])
    assert store.queue.fail(mine, "not_found", "gone", retryable=False).status == "failed"


def test_a_claim_can_leave_clips_out(store: Store, tenant: Tenant) -> None:
    job = ClipJob(a_picture(store, tenant).id, "pan", 1.0, 64, "webp")
    clip_id = store.shots.add(tenant.id, spec_of(), job=NewJob("clip", job.to_json(), images=0))[0].id
    (shot_id,) = add_shots(store, tenant, 1)
    first = store.queue.claim("w", kinds=("shot", "touchup"))
    assert first is not None
    assert first.shot_id == shot_id
    assert store.queue.claim("w", kinds=("shot", "touchup")) is None
    assert claim(store).shot_id == clip_id
