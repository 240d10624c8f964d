"""A tenant is deleted with all that it owns, and nothing of another tenant's. One receipt remains."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from sqlalchemy import func, select

from packshot.contract.clips import ClipJob
from packshot.contract.style import Reference
from packshot.errors import BadInput, Conflict, LeaseLost, NotFound
from packshot.imaging.fingerprint import Fingerprint
from packshot.store.adapters import NewAdapter
from packshot.store.clip_records import NewClip
from packshot.store.records import NewJob, Tenant
from packshot.store.schema import deletion, metadata
from packshot.store.store import Store
from packshot.store.training_records import NewTraining, Progress, TrainingPicture
from tests.specs import spec_of
from tests.unit.store.catalogue_steps import accept_all, add_catalogue, collect, run_shots
from tests.unit.store.store_rows import add_photo, claim, new_delivered, new_image, new_mask, training_order

SOME = Fingerprint(b"hashes", b"sketch")


def rows_of(store: Store, tenant: Tenant) -> dict[str, int]:
    """How many rows each table has of a tenant."""
    with store.database.read() as connection:
        counts = {
            table.name: connection.execute(
                select(func.count()).select_from(table).where(table.c.tenant_id == tenant.id)
            ).scalar_one()
            for table in metadata.sorted_tables
            if "tenant_id" in table.c
        }
    return {name: count for name, count in counts.items() if count}


def furnish(store: Store, name: str, own: bytes) -> tuple[Tenant, str]:
    """A tenant with a row in every table. Its photo and picture `shared` are every tenant's, `own` is its alone."""
    key = store.keys.create(name)
    tenant = store.keys.tenant_of(key.secret)
    assert tenant is not None
    store.sessions.open(key.secret)
    joined = store.projects.add(tenant.id, "spring")
    store.webhooks.add(tenant.id, "https://receiver.example/hook", ["shot.ended"])
    photo = add_photo(store, tenant, "a", project_id=joined.id)
    store.styles.add(tenant.id, name="marble", thumbnail=b"thumb " + own, references=[Reference(photo.id)])
    add_photo(store, tenant, "b", own_alpha=(new_mask(b"alpha " + own), b"rgba " + own))
    own_look = NewAdapter(
        name="look", kind="lora", engine="mini", family="mini", rank=4, trigger="", licence="", trained_from=None
    )
    store.adapters.add(tenant.id, own_look, b"look " + own)
    _learn(store, tenant, photo.id, own)
    (used, _) = store.masks.add(tenant.id, photo.id, [new_mask(b"mask " + own), new_mask(b"shared mask")])
    store.shots.add(tenant.id, spec_of(used.id), key_id=key.record.id)
    store.budgets.set(tenant.id, {"images_per_day": 100})
    ended = store.queue.commit(
        claim(store),
        [
            new_image(png=b"shared", fingerprint=SOME),
            new_image(1, png=b"image " + own, gain_png=b"gain " + own),
        ],
    )
    store.delivered.add(tenant.id, ended.images[0].id, new_delivered(b"file " + own))
    film = ClipJob(ended.images[0].id, "orbit", 2.0, 64, "webp")
    store.shots.add(tenant.id, spec_of(used.id), row_steps=0, job=NewJob("clip", film.to_json(), images=0))
    store.queue.commit(claim(store), [NewClip(film, b"film " + own, 64, 48)])
    store.uploads.add(tenant.id, bytes=1, sha256="a" * 64, content_type="image/png")
    made = add_catalogue(store, tenant, [{"sku": "A", "photo": photo.id, "mask": "mask.png"}])
    store.catalogue_photos.put_mask_file(tenant.id, made.id, "mask.png", b"brought " + own)
    store.catalogues.start(tenant.id, made.id)
    accept_all(store, made, used.id)
    run_shots(store, 1)
    collect(store, made)
    store.reviews.decide(tenant.id, ended.images[0].id, "approved", by="a test")
    store.shares.add(tenant.id, [ended.images[0].id], name="spring", life_s=60, by="a test")
    store.audit.chain(tenant.id)
    return tenant, key.secret


def _learn(store: Store, tenant: Tenant, photo_id: str, own: bytes) -> None:
    """A training that runs, with its files, and that has used some seconds."""
    order = training_order(TrainingPicture(photo_id, "a mug"))
    store.trainings.add(
        tenant.id, NewTraining(name="learned", engine=f"mini-{tenant.id}", order=order, steps=1), sent={}
    )
    held = store.training_work.claim("w", [f"mini-{tenant.id}"])
    assert held is not None
    files = {"sheet": b"sheet " + own, "curves": b"curves " + own, "state": b"state " + own}
    store.training_work.heartbeat(held, Progress(step=1, loss=0.5, spent_s=2.0, **files))


def test_everything_of_a_tenant_goes_and_the_others_keep_theirs(store: Store) -> None:
    gone, secret = furnish(store, "gone", b"1")
    kept, _ = furnish(store, "kept", b"2")
    before = rows_of(store, kept)
    assert set(before) == {table.name for table in metadata.sorted_tables if "tenant_id" in table.c}, "furnish each"
    offered = store.uploads.add(gone.id, bytes=1, sha256="a" * 64, content_type="image/png").record
    store.assets.put_at(offered.key, b"1")
    live = store.shots.add(gone.id, spec_of())[0].id
    running = claim(store)
    store.assets.put_at(f"previews/{live}.png", b"preview")
    store.assets.put_at(f"previews/{live}-1.png", b"preview")

    receipt = store.deletions.delete(gone.id, by="a test")

    assert rows_of(store, gone) == {}
    assert rows_of(store, kept) == before
    assert store.keys.tenant_of(secret) is None
    left = {bytes(store.assets.get(file.key)) for file in store.assets.files()}
    assert not any(data.endswith(b" 1") or data in (b"1", b"preview") for data in left)
    assert {
        b"shared",
        b"shared mask",
        b"image 2",
        b"gain 2",
        b"file 2",
        b"film 2",
        b"mask 2",
        b"thumb 2",
        b"look 2",
        b"rgba 2",
        b"alpha 2",
    } <= left
    with pytest.raises(LeaseLost):
        store.queue.commit(running, [new_image()])
    assert dict(receipt.counts) == {
        "keys": 1,
        "shots": 4,
        "images": 3,
        "delivered_files": 2,
        "clips": 1,
        "photos": 2,
        "masks": 3,
        "uploads": 2,
        "styles": 1,
        "adapters": 1,
        "trainings": 1,
        "training_usages": 1,
        "projects": 1,
        "catalogues": 1,
        "catalogue_rows": 1,
        "catalogue_photos": 1,
        "catalogue_shots": 1,
        "catalogue_files": 1,
        "files": 15,
        "share_links": 1,
        "webhooks": 1,
        "budgets": 1,
        "key_usages": 2,
        "sku_usages": 2,
        "audit_events": 21,
    }
    assert (receipt.tenant_sha256, receipt.by) == (hashlib.sha256(gone.id.encode()).hexdigest(), "a test")
    assert receipt.finished_at is not None
    assert receipt.finished_at >= receipt.started_at
    assert store.deletions.delete(gone.id, by="again") == receipt
    assert gone.id not in {tenant.id for tenant in store.tenants.all()}
    with pytest.raises(NotFound):
        store.audit.check(gone.id)
    assert store.audit.check(kept.id).broken_at is None


def test_receipts_are_listed_newest_first(store: Store) -> None:
    receipts = []
    for name in ("first", "second", "third"):
        tenant = store.keys.tenant_of(store.keys.create(name).secret)
        assert tenant is not None
        receipts.append(store.deletions.delete(tenant.id, by=name))
    page, cursor = store.deletions.receipts(limit=2)
    assert (page, cursor) == (receipts[:0:-1], receipts[1].tenant_sha256)
    assert store.deletions.receipts(cursor=cursor, limit=2) == (receipts[:1], None)
    for wrong in ("x", "\x00", "0" * 64):
        with pytest.raises(BadInput, match="next_cursor"):
            store.deletions.receipts(cursor=wrong)


def test_a_tenant_under_a_legal_hold_is_kept(store: Store) -> None:
    held, secret = furnish(store, "held", b"1")
    before = rows_of(store, held)
    store.deletions.hold(held.id, "case 4711")
    with pytest.raises(Conflict, match=r"legal_hold.*case 4711"):
        store.deletions.delete(held.id, by="a test")
    assert rows_of(store, held) == before | {"audit_event": before["audit_event"] + 1}, "the hold itself"
    assert store.keys.tenant_of(secret) == held
    assert store.deletions.holds() == {held.id: "case 4711"}
    store.deletions.hold(held.id, None)
    assert store.deletions.delete(held.id, by="a test").finished_at is not None


def test_an_unknown_tenant_is_not_found(store: Store) -> None:
    for call in (lambda one: store.deletions.delete(one, by="a test"), lambda one: store.deletions.hold(one, "x")):
        for unknown in ("tn_unknown", "", "tn_\x00"):
            with pytest.raises(NotFound):
                call(unknown)


def test_a_deletion_that_died_goes_on_where_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, _ = furnish(store, "gone", b"1")

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store.deletions, "_delete_photos", die)
        with pytest.raises(KeyboardInterrupt):
            store.deletions.delete(gone.id, by="first")
    with store.database.read() as connection:
        (row,) = connection.execute(select(deletion)).all()
    assert (row.finished_at, row.counts["shots"]) == (None, 3)
    receipt = store.deletions.delete(gone.id, by="second")
    assert (receipt.by, receipt.counts["keys"], receipt.counts["shots"], receipt.counts["photos"]) == ("first", 1, 3, 2)


def test_a_row_that_a_late_request_wrote_goes_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, _ = furnish(store, "gone", b"1")
    delete_rows = store.deletions._delete_rows
    late: list[str] = []

    def delete_then_write(tenant_id: str, receipt: str) -> None:
        delete_rows(tenant_id, receipt)
        if not late:  # a request that was let in before the keys went
            late.append(store.projects.add(tenant_id, "late").id)

    monkeypatch.setattr(store.deletions, "_delete_rows", delete_then_write)
    assert store.deletions.delete(gone.id, by="a test").counts["projects"] == 2
    assert rows_of(store, gone) == {}
