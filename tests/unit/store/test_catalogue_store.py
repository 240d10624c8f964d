"""Catalogues in the store: what a client changes, what a producer does, and that no step happens twice."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from packshot.errors import BadInput, Conflict, NotFound, PreconditionFailed
from packshot.store.catalogue_records import CatalogueRecord, EndedShot, OpenFile
from packshot.store.catalogue_tables import catalogue, catalogue_shot
from packshot.store.load_records import Load
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.schema import Now, shot
from packshot.store.schema import tenant as tenants
from packshot.store.schema_webhooks import webhook_message
from packshot.store.store import Store
from tests.unit.store.catalogue_steps import (
    FILES,
    SCENES,
    WINDOW,
    accept_all,
    add_catalogue,
    collect,
    items_of,
    planned,
    run_shots,
)
from tests.unit.store.store_rows import new_mask


@pytest.fixture
def mask_id(store: Store, tenant: Tenant, photo: PhotoRecord) -> str:
    return store.masks.add(tenant.id, photo.id, [new_mask()])[0].id


def counts_of(store: Store, record: CatalogueRecord) -> dict[str, int]:
    counts = store.catalogues.get(record.tenant, record.id).counts
    return {name: value for name, value in vars(counts).items() if value}


def test_a_catalogue_runs_to_its_end_in_windows(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(5), **SCENES, **FILES)  # two scenes and one plain picture a row
    assert (record.state, record.version, record.counts.waiting) == ("draft", 1, 5)
    assert accept_all(store, record, mask_id) == 0
    started = store.catalogues.start(tenant.id, record.id)
    assert (started.state, started.version) == ("running", 2)
    assert store.catalogues.unopened_work() == {tenant.id: Load(15, 15, started_row_steps(store, record))}
    assert accept_all(store, record, mask_id, window=7) == 7  # two rows, and a third that fits in part
    assert accept_all(store, record, mask_id, window=7) == 0
    assert counts_of(store, record) == {"waiting": 2, "running": 3}
    run_shots(store, 6)
    collect(store, record)
    assert counts_of(store, record) == {"waiting": 2, "running": 1, "done": 2}
    accepted = 7
    while store.catalogues.get(tenant.id, record.id).state == "running":
        accepted += accept_all(store, record, mask_id, window=7)
        run_shots(store, store.queue.counts()["queued"])
        collect(store, record)
    assert accepted == 15
    ended = store.catalogues.get(tenant.id, record.id)
    assert (ended.state, ended.counts.done, ended.spent_images, ended.spent_device_s) == ("done", 5, 15, 30.0)
    assert ended.ended_at is not None
    rows, cursor = store.catalogues.rows(tenant.id, record.id, limit=2)
    assert [row.sku for row in rows] == ["S00000", "S00001"]
    assert [row.sku for row in store.catalogues.rows(tenant.id, record.id, cursor=cursor)[0]] == [
        "S00002",
        "S00003",
        "S00004",
    ]
    assert [(one.view, one.scene, one.state) for one in rows[0].shots] == [
        ("front", "marble", "done"),
        ("front", "linen", "done"),
        ("front", "", "done"),
    ]
    assert [(one.entry, one.n, one.state, one.name) for one in rows[0].files] == [(0, 1, "made", "S00000-0-1.jpg")]
    image_id = rows[0].shots[2].image_id or ""
    assert rows[0].files[0].image_id == image_id
    assert store.catalogues.row_of_image(tenant.id, image_id) == (record.id, 0)
    assert store.catalogues.unopened_work() == {}


def started_row_steps(store: Store, record: CatalogueRecord) -> int:
    return store.catalogues.unopened_work()[record.tenant].row_steps


def test_every_step_may_be_repeated(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(2))
    store.catalogues.start(tenant.id, record.id)
    work = store.catalogue_work
    assert work.open_rows(record.id, WINDOW) == 2
    assert work.open_rows(record.id, WINDOW) == 0
    row, other = work.rows_to_cut(record.id)
    for one in (row, other):
        work.set_masks(record.id, one.place, [mask_id])
    ready = work.rows_to_shoot(record.id)[0]
    shots = planned(record, ready)
    assert work.accept(record.id, row.place, 1, shots, WINDOW) == (1, None)
    assert work.accept(record.id, row.place, 1, shots, WINDOW) == (0, None)
    assert work.accept(record.id, row.place, 2, shots, WINDOW) == (0, None)  # of another attempt
    run_shots(store, 1)
    [live] = work.live_shots(record.id)
    image = store.shots.get(tenant.id, live.shot_id).images[0]
    ended = EndedShot(live.place, live.key, image.id, ((0, 1, None),))
    for _ in range(2):
        work.shots_ended(record.id, [ended])
    [file] = work.files_to_make(record.id, 10)
    assert not work.settle(record.id)
    assert counts_of(store, record) == {"running": 2}
    work.reserve_name(record.id, file, "a.jpg")
    work.file_made(record.id, file, "df_1")
    work.file_failed(record.id, file, "preset_unmet", "too late")
    assert [work.settle(record.id), work.settle(record.id)] == [False, False]
    work.end_row(record.id, row.place, "failed", "internal", "too late")
    with store.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(shot)).scalar_one() == 1
    assert counts_of(store, record) == {"running": 1, "done": 1}


def test_only_rows_that_failed_are_tried_again(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(3), **SCENES)
    store.catalogues.start(tenant.id, record.id)
    work = store.catalogue_work
    work.open_rows(record.id, WINDOW)
    work.end_row(record.id, 2, "skipped", "product_not_found", "nothing stands out")
    assert accept_all(store, record, mask_id) == 4
    run_shots(store, 4, fail=[1])
    collect(store, record)
    failed = store.catalogues.rows(tenant.id, record.id, state="failed")[0][0]
    assert (failed.place, failed.code, failed.detail) == (0, "engine_nan", "not finite")
    done = store.catalogues.get(tenant.id, record.id)
    assert (done.state, counts_of(store, record)) == ("done", {"done": 1, "failed": 1, "skipped": 1})

    again = store.catalogues.retry(tenant.id, record.id)
    assert (again.state, again.version, counts_of(store, record)) == (
        "running",
        done.version + 1,
        {"waiting": 1, "done": 1, "skipped": 1},
    )
    assert accept_all(store, record, mask_id) == 1  # the scene that was painted is kept
    run_shots(store, 1)
    collect(store, record)
    assert counts_of(store, record) == {"done": 2, "skipped": 1}
    assert store.catalogues.retry(tenant.id, record.id, only="skipped").counts.waiting == 1


def test_a_budget_pauses_until_somebody_resumes(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(5), budget={"images": 2}, **FILES)
    store.catalogues.start(tenant.id, record.id)
    assert accept_all(store, record, mask_id) == 2
    paused = store.catalogues.get(tenant.id, record.id)
    assert (paused.state, paused.pause_reason, paused.spent_images) == ("paused", "budget", 2)
    assert accept_all(store, record, mask_id) == 0
    run_shots(store, 2)
    collect(store, record)
    assert counts_of(store, record) == {"running": 3, "done": 2}  # what was accepted ends
    resumed = store.catalogues.resume(tenant.id, record.id)
    assert (resumed.state, resumed.allowed_images) == ("running", 4)
    assert accept_all(store, record, mask_id) == 2


def test_a_pause_accepts_no_more_and_a_cancel_ends_all(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(4), **SCENES)
    store.catalogues.start(tenant.id, record.id)
    accept_all(store, record, mask_id, window=4)
    store.catalogues.pause(tenant.id, record.id)
    assert accept_all(store, record, mask_id) == 0
    run_shots(store, 2)
    collect(store, record)
    assert counts_of(store, record) == {"waiting": 2, "running": 1, "done": 1}
    cancelled = store.catalogues.cancel(tenant.id, record.id)
    assert (cancelled.state, counts_of(store, record)) == ("cancelled", {"skipped": 3, "done": 1})
    assert store.queue.counts()["queued"] == 0
    assert store.queue.counts()["cancelled"] == 2
    skipped = store.catalogues.rows(tenant.id, record.id, state="skipped")[0][0]
    assert (skipped.code, skipped.detail) == ("cancelled", "the catalogue was cancelled before this row ended")
    assert store.catalogue_work.claim("w", 30) == []


def test_changes_are_idempotent_and_guarded_by_the_version(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(1))
    started = [store.catalogues.start(tenant.id, record.id) for _ in range(2)]
    assert started[0] == started[1]
    with pytest.raises(PreconditionFailed, match=r"version_changed.*it is running now, version 2"):
        store.catalogues.pause(tenant.id, record.id, version=1)
    assert store.catalogues.pause(tenant.id, record.id, version=2).version == 3
    with pytest.raises(Conflict, match="catalogue_state"):
        store.catalogues.start(tenant.id, record.id)
    store.catalogues.cancel(tenant.id, record.id)
    for change in (store.catalogues.resume, store.catalogues.pause, store.catalogues.retry):
        with pytest.raises(Conflict, match="is cancelled"):
            change(tenant.id, record.id)
    stranger = store.tenants.get_or_create("stranger")
    for call in (store.catalogues.get, store.catalogues.start, store.catalogues.rows, store.catalogue_photos.missing):
        with pytest.raises(NotFound):
            call(stranger.id, record.id)


def test_two_resumes_at_once_give_one_answer(store: Store, tenant: Tenant) -> None:
    record = add_catalogue(store, tenant, items_of(1))
    store.catalogues.start(tenant.id, record.id)
    store.catalogues.pause(tenant.id, record.id)
    answers, gate = [], threading.Barrier(4)

    def resume() -> None:
        gate.wait()
        answers.append(store.catalogues.resume(tenant.id, record.id))

    threads = [threading.Thread(target=resume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(one.state, one.version) for one in answers} == {("running", 4)}


def test_paths_need_their_photos_before_the_start(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    items = [
        {"sku": "A", "photo": "photos/mug.jpg", "mask": "masks/mug.png"},
        {"sku": "B", "photo": "./photos//broken.jpg"},
        {"sku": "C", "photo": photo.id, "mask": "mk_1"},
        {"sku": "D", "photo": "photos/mug.jpg"},
    ]
    record = add_catalogue(store, tenant, items)
    photos = store.catalogue_photos
    assert [(one.path, one.kind) for one in photos.missing(tenant.id, record.id)] == [
        ("masks/mug.png", "mask"),
        ("photos/broken.jpg", "photo"),
        ("photos/mug.jpg", "photo"),
    ]
    with pytest.raises(Conflict, match=r"photos_missing.*3 have none, such as 'masks/mug.png'"):
        store.catalogues.start(tenant.id, record.id)
    assert [photos.put(tenant.id, record.id, "photos/mug.jpg", photo.id) for _ in range(2)] == [True, False]
    assert [photos.put_mask_file(tenant.id, record.id, "masks/mug.png", b"png") for _ in range(2)] == [True, False]
    photos.failed(tenant.id, record.id, "photos/broken.jpg", "photo_unreadable", "cut short\x00")
    assert store.catalogues.start(tenant.id, record.id).state == "running"
    kept = photos.at(record.id, "masks/mug.png", "mask")
    assert kept is not None
    assert store.assets.get(kept.asset_key or "") == b"png"
    broken = photos.at(record.id, "photos/broken.jpg", "photo")
    assert broken is not None
    assert (broken.code, broken.detail) == ("photo_unreadable", "cut short")
    photos.put(tenant.id, record.id, "photos/broken.jpg", photo.id)  # a better one, for a retry
    assert photos.at(record.id, "photos/broken.jpg", "photo") == replace(
        broken, photo_id=photo.id, code=None, detail=None
    )
    for path in ("photos/other.jpg", "masks/mug.png", "\x00", "\ud800"):
        with pytest.raises(NotFound):
            photos.put(tenant.id, record.id, path, photo.id)
    store.retention.sweep()
    assert store.assets.get(kept.asset_key or "") == b"png"


def test_two_files_of_one_place_have_two_names(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(3))
    store.catalogues.start(tenant.id, record.id)
    accept_all(store, record, mask_id)
    run_shots(store, 3)
    work = store.catalogue_work
    ended = [
        EndedShot(one.place, one.key, store.shots.get(tenant.id, one.shot_id).images[0].id, ((0, 1, to),))
        for one, to in zip(work.live_shots(record.id), (None, None, "s3://bucket"), strict=True)
    ]
    work.shots_ended(record.id, ended)
    files = work.files_to_make(record.id, 10)
    for _ in range(2):
        work.reserve_name(record.id, files[0], "Mug.jpg")
        work.file_made(record.id, files[0], "df_1")
    with pytest.raises(BadInput, match="filename_invalid"):
        work.reserve_name(record.id, files[1], "mug.JPG")
    work.file_failed(record.id, files[1], "filename_invalid", "twice")
    work.reserve_name(record.id, files[2], "mug.jpg")  # elsewhere
    work.file_made(record.id, files[2], "df_3")
    work.settle(record.id)
    assert [row.code for row in store.catalogues.rows(tenant.id, record.id)[0]] == [None, "filename_invalid", None]


def test_one_producer_holds_a_catalogue_until_its_lease_ends(store: Store, tenant: Tenant) -> None:
    add_catalogue(store, tenant, items_of(1))
    record = add_catalogue(store, tenant, items_of(1))
    work = store.catalogue_work
    assert work.claim("one", 30) == []  # drafts
    store.catalogues.start(tenant.id, record.id)
    assert [one.id for one in work.claim("one", 30)] == [record.id]
    assert work.claim("two", 30) == []
    assert [one.id for one in work.claim("one", 30)] == [record.id]
    with store.database.write() as connection:
        connection.execute(update(catalogue).values(lease_until=0))
    assert [one.id for one in work.claim("two", 30)] == [record.id]
    assert work.claim("one", 30) == []
    work.release("two")
    assert [one.id for one in work.claim("one", 30)] == [record.id]


def test_one_window_is_a_tenants_whatever_it_runs(store: Store, tenant: Tenant, mask_id: str) -> None:
    records = [add_catalogue(store, tenant, items_of(4)) for _ in range(2)]
    for record in records:
        store.catalogues.start(tenant.id, record.id)
    assert [accept_all(store, record, mask_id, window=5) for record in records] == [4, 1]
    with store.database.read() as connection:
        live = connection.execute(select(catalogue_shot.c.catalogue_id)).scalars().all()
    assert Counter(live) == {records[0].id: 4, records[1].id: 1}


def test_accepting_at_once_stays_within_the_window(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(
        store, tenant, items_of(1), axes=[{"name": "scene", "values": {f"s{n}": "x" for n in range(9)}}]
    )
    store.catalogues.start(tenant.id, record.id)
    work = store.catalogue_work
    work.open_rows(record.id, 4)
    work.set_masks(record.id, 0, [mask_id])
    [row] = work.rows_to_shoot(record.id)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(work.accept(record.id, 0, 1, planned(record, row), 4)[0]))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 0, 4]


def test_a_shot_without_its_mask_is_not_accepted(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(1), **SCENES)
    store.catalogues.start(tenant.id, record.id)
    work = store.catalogue_work
    work.open_rows(record.id, WINDOW)
    work.set_masks(record.id, 0, [mask_id])
    [row] = work.rows_to_shoot(record.id)
    store.masks.delete(tenant.id, mask_id)
    with pytest.raises(NotFound):
        work.accept(record.id, 0, 1, planned(record, row), WINDOW)
    assert work.live_shots(record.id) == []
    assert store.catalogues.get(tenant.id, record.id).spent_images == 0


def test_a_file_that_waits_for_approval_holds_no_row_up(store: Store, tenant: Tenant, mask_id: str) -> None:
    record = add_catalogue(store, tenant, items_of(1))
    store.catalogues.start(tenant.id, record.id)
    accept_all(store, record, mask_id)
    run_shots(store, 1)
    work = store.catalogue_work
    [live] = work.live_shots(record.id)
    image = store.shots.get(tenant.id, live.shot_id).images[0]
    work.shots_ended(record.id, [EndedShot(live.place, live.key, image.id, ((0, 1, None),))])
    held = OpenFile(0, 0, 1, image.id, None)
    work.file_held(record.id, held)
    assert work.settle(record.id)
    work.end(record.id)
    assert store.catalogues.get(tenant.id, record.id).state == "done"
    assert (work.files_to_make(record.id, 9), work.claim("w", 30)) == ([], [])
    store.reviews.decide(tenant.id, image.id, "approved", by="a test")
    assert [one.id for one in work.claim("w", 30)] == [record.id]
    assert len(work.files_to_make(record.id, 9)) == 1


def test_an_old_catalogue_goes_with_its_rows_and_files(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    old, young, running = (
        add_catalogue(store, tenant, [{"sku": "A", "photo": photo.id, "mask": f"{name}.png"}])
        for name in ("old", "young", "running")
    )
    for record, name in ((old, b"old"), (young, b"young"), (running, b"running")):
        store.catalogue_photos.put_mask_file(tenant.id, record.id, f"{name.decode()}.png", name)
    store.catalogues.start(tenant.id, running.id)
    with store.database.write() as connection:
        connection.execute(update(tenants).values(retention_days=1))
        connection.execute(update(catalogue).where(catalogue.c.id != young.id).values(created_at=Now() - 90_000))
    assert store.retention.sweep()["catalogues"] == 1
    with pytest.raises(NotFound):
        store.catalogues.get(tenant.id, old.id)
    left = {bytes(store.assets.get(file.key)) for file in store.assets.files()}
    assert {b"young", b"running"} <= left
    assert b"old" not in left


def test_webhooks_hear_of_rows_and_of_the_end(store: Store, tenant: Tenant, mask_id: str) -> None:
    store.webhooks.add(tenant.id, "https://example.com/", ["catalogue.row_ended", "catalogue.ended", "shot.ended"])
    record = add_catalogue(store, tenant, items_of(3))
    store.catalogues.start(tenant.id, record.id)
    accept_all(store, record, mask_id)
    run_shots(store, 2, fail=[1])
    collect(store, record)
    store.catalogues.cancel(tenant.id, record.id)
    with store.database.read() as connection:
        bodies = connection.execute(select(webhook_message.c.body).order_by(webhook_message.c.created_at)).scalars()
        events = [json.loads(body) for body in bodies]
    kinds = Counter((one["type"], one["data"].get("state") or one["data"]["status"]) for one in events)
    assert kinds == {
        ("shot.ended", "done"): 1,
        ("shot.ended", "failed"): 1,
        ("shot.ended", "cancelled"): 1,
        ("catalogue.row_ended", "done"): 1,
        ("catalogue.row_ended", "failed"): 1,
        ("catalogue.ended", "cancelled"): 1,
    }
    rows = {one["data"]["sku"]: one["data"] for one in events if one["type"] == "catalogue.row_ended"}
    image_id = store.catalogues.rows(tenant.id, record.id)[0][0].shots[0].image_id
    assert [one["id"] for one in rows["S00000"]["images"]] == [image_id]
    assert [url.rpartition("/")[2] for url in rows["S00000"]["deliveries"]] == ["S00000-0-1.jpg"]
    assert rows["S00001"]["code"] == "engine_nan"
    assert events[-1]["data"]["counts"] == {"waiting": 0, "running": 0, "done": 1, "failed": 1, "skipped": 1}
