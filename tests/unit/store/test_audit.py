"""The audit trail: every event once, in the transaction of what it records, in a chain that shows every change."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from packshot.contract.audit import AUDIT_ACTIONS, FIRST_SHA256, line_sha256
from packshot.contract.clips import ClipJob
from packshot.contract.status import SHOT_KINDS
from packshot.errors import BadInput, NotFound, PreconditionFailed
from packshot.store.audit import PAGE, AuditFilter
from packshot.store.audit_rows import action_of, record_each
from packshot.store.catalogues import Catalogues
from packshot.store.clip_records import NewClip
from packshot.store.records import NewJob, PhotoRecord, Tenant
from packshot.store.schema import Now
from packshot.store.schema_audit import audit_chain, audit_event
from packshot.store.store import Store
from packshot.telemetry.context import bound
from tests.specs import spec_of
from tests.unit.store.catalogue_steps import accept_all, add_catalogue
from tests.unit.store.store_rows import add_photo, add_shots, claim, new_delivered, new_image, new_mask

SECRET = "a birthday for Alice"


def lines_of(store: Store, tenant: Tenant, wanted: AuditFilter | None = None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.audit.export(tenant.id, wanted or AuditFilter())]


def actions_of(store: Store, tenant: Tenant) -> list[str]:
    return [line["action"] for line in lines_of(store, tenant)]


def fill(store: Store, tenant: Tenant, count: int) -> None:
    """Give the tenant's chain `count` lines."""
    with store.database.write() as connection:
        record_each(connection, tenant.id, "photo.deleted", [(f"ph_{n}", None) for n in range(count)])
    store.audit.chain(tenant.id)


def test_every_step_of_a_picture_is_recorded_with_who_asked_and_the_models(store: Store, tenant: Tenant) -> None:
    with bound(actor="session ky_1", request="r-1"):
        photo = add_photo(store, tenant)
        (used,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    with bound(actor="key ky_1", request="r-2"):
        asked, _ = store.shots.add(tenant.id, spec_of(used.id, prompt=SECRET), origin={"request": "r-2"})
        store.shots.add(tenant.id, spec_of(used.id, prompt=SECRET, seed=8))
    ended = store.queue.commit(claim(store), [new_image(), new_image(1)])
    first, second = (image.id for image in ended.images)
    with bound(actor="key ky_2"):
        store.reviews.decide(tenant.id, first, "changes_requested", by="key ky_2", reason="shadow", note=SECRET)
        store.reviews.decide(tenant.id, first, "approved", by="key ky_2")
        file = store.delivered.add(tenant.id, first, new_delivered())
        assert store.delivered.add(tenant.id, first, new_delivered()) == file, "made once, and recorded once"
    with bound(actor="share sl_1"):
        store.reviews.comment(tenant.id, second, SECRET, by="share sl_1")
    lines = lines_of(store, tenant)
    assert [(line["action"], line["object"], line["by"], line.get("request")) for line in lines] == [
        ("photo.uploaded", photo.id, "session ky_1", "r-1"),
        ("shot.asked", asked.id, "key ky_1", "r-2"),
        ("shot.asked", lines[2]["object"], "key ky_1", "r-2"),
        ("image.made", first, "system", "r-2"),
        ("image.made", second, "system", "r-2"),
        ("image.changes_requested", first, "key ky_2", None),
        ("image.approved", first, "key ky_2", None),
        ("file.delivered", file.id, "key ky_2", None),
        ("image.commented", second, "share sl_1", None),
    ]
    assert lines[1]["details"]["masks"] == [used.id]
    assert lines[3]["models"] == {"manifest": "0" * 64}
    assert lines[3]["details"] == {"shot_id": asked.id, "pack": "mini", "dtype": "float32", "version": "0"}
    assert lines[5]["details"] == {"version": 1, "number": 1, "reason": "shadow"}
    assert lines[7]["details"] == {"image_id": first, "preset": "ebay", "sha256": file.sha256}
    assert SECRET not in json.dumps(lines), "no words of a person"
    assert {line["action"] for line in lines} < set(AUDIT_ACTIONS)


def test_each_kind_of_work_has_an_event() -> None:
    assert {action_of(kind) for kind in SHOT_KINDS} <= set(AUDIT_ACTIONS)


def test_other_work_and_a_tenants_own_settings_are_recorded(store: Store) -> None:
    key = store.keys.create("brand")
    tenant = store.keys.tenant_of(key.secret)
    assert tenant is not None
    photo = add_photo(store, tenant)
    (mask,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    store.shots.add(tenant.id, spec_of(mask.id))
    image = store.queue.commit(claim(store), [new_image()]).images[0]
    film = ClipJob(image.id, "orbit", 2.0, 64, "webp")
    store.shots.add(tenant.id, spec_of(mask.id), row_steps=0, job=NewJob("clip", film.to_json(), images=0))
    store.queue.commit(claim(store), [NewClip(film, b"film", 64, 48)])
    waiting, _ = store.shots.add(tenant.id, spec_of(mask.id))
    store.shots.cancel(tenant.id, waiting.id)
    style = store.styles.add(tenant.id, name="marble")
    store.styles.change(tenant.id, style.id, {"prompt": SECRET})
    store.styles.delete(tenant.id, style.id)
    share = store.shares.add(tenant.id, [image.id], name=SECRET, life_s=60, by="a test").record
    store.shares.revoke(tenant.id, share.id)
    store.tenants.set_weight(tenant.id, 2.0)
    store.tenants.set_require_approval(tenant.id, True)
    store.budgets.set(tenant.id, {"images_per_day": 5})
    store.deletions.hold(tenant.id, SECRET)
    store.deletions.hold(tenant.id, None)
    spare = add_photo(store, tenant, "b")
    store.photos.delete(tenant.id, spare.id)
    for _ in range(2):
        store.keys.revoke(key.record.id)
    lines = lines_of(store, tenant)
    assert [line["action"] for line in lines] == [
        *("key.made", "photo.uploaded", "shot.asked", "image.made", "clip.asked", "clip.made"),
        *("shot.asked", "shot.cancelled", "style.added", "style.changed", "style.deleted"),
        *("share.made", "share.revoked", "tenant.changed", "tenant.changed", "tenant.changed"),
        *("tenant.held", "tenant.released", "photo.uploaded", "photo.deleted", "key.revoked"),
    ]
    assert lines[4]["details"]["image_id"] == lines[5]["details"]["image_id"] == image.id
    assert lines[9]["details"] == {"fields": ["prompt"]}
    assert SECRET not in json.dumps(lines)


def test_a_catalogue_is_recorded_with_its_shots(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    (mask,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    made = add_catalogue(store, tenant, [{"sku": "A", "photo": photo.id}])
    with bound(actor="key ky_1"):
        store.catalogues.start(tenant.id, made.id)
        store.catalogues.start(tenant.id, made.id)  # a repeat changes nothing
        accept_all(store, made, mask.id)
        for change in (Catalogues.pause, Catalogues.resume, Catalogues.cancel):
            change(store.catalogues, tenant.id, made.id)
    about = lines_of(store, tenant, AuditFilter(object_id=made.id))
    assert [line["action"].partition(".")[2] for line in about] == [
        *("created", "started", "paused", "resumed", "cancelled"),
    ]
    shots = [line for line in lines_of(store, tenant) if line["action"] == "shot.asked"]
    assert {(line["by"], line["details"]["catalogue_id"]) for line in shots} == {("system", made.id)}


def test_what_did_not_happen_is_not_recorded(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    (mask,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    store.shots.add(tenant.id, spec_of(mask.id), idempotency_key="one")
    mine = claim(store)
    image = store.queue.commit(mine, [new_image()]).images[0]
    before = actions_of(store, tenant)
    assert store.shots.add(tenant.id, spec_of(mask.id), idempotency_key="one")[1] is False
    store.queue.commit(mine, [new_image()])
    with pytest.raises(NotFound):
        store.shots.add(tenant.id, spec_of("mk_unknown"))
    with pytest.raises(PreconditionFailed):
        store.reviews.decide(tenant.id, image.id, "approved", by="a test", expected=['"9-approved"'])
    with pytest.raises(BadInput):
        store.shots.add(tenant.id, spec_of(mask.id, seed=8), idempotency_key="one")
    assert actions_of(store, tenant) == before


def test_each_line_holds_the_hash_of_the_one_before(store: Store, tenant: Tenant) -> None:
    fill(store, tenant, 5)
    raw = list(store.audit.export(tenant.id))
    lines = [json.loads(line) for line in raw]
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["previous_sha256"] for line in lines] == [FIRST_SHA256, *map(line_sha256, raw[:-1])]
    checked = store.audit.check(tenant.id)
    assert (checked.lines, checked.first, checked.sha256, checked.broken_at) == (5, 1, line_sha256(raw[-1]), None)
    assert store.audit.check(store.tenants.get_or_create("empty").id).lines == 0


MINE = audit_event.c
TAMPERED: dict[str, tuple[int, Callable[[str], Sequence[Any]]]] = {
    "changed": (4, lambda t: [update(audit_event).where(MINE.number == 3).values(by="key ky_9")]),
    "the last changed": (5, lambda t: [update(audit_event).where(MINE.number == 5).values(by="key ky_9")]),
    "removed": (3, lambda t: [delete(audit_event).where(MINE.number == 3)]),
    "the last removed": (5, lambda t: [delete(audit_event).where(MINE.number == 5)]),
    "the first removed": (1, lambda t: [delete(audit_event).where(MINE.number == 1)]),
    "exchanged": (
        2,
        lambda t: [update(audit_event).where(MINE.number == n).values(number=m) for n, m in ((2, 9), (3, 2), (9, 3))],
    ),
    "replaced": (
        4,
        lambda t: [
            delete(audit_event).where(MINE.number == 3),
            insert(audit_event).values(
                tenant_id=t, at=Now(), by="x", action="x", object_id="x", number=3, previous_sha256=FIRST_SHA256
            ),
        ],
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_check_finds_the_line_that_does_not_fit(store: Store, tenant: Tenant, how: str) -> None:
    fill(store, tenant, 5)
    expected, statements = TAMPERED[how]
    with store.database.write() as connection:
        for statement in statements(tenant.id):
            connection.execute(statement)
    found = store.audit.check(tenant.id).broken_at
    assert found is not None
    assert found in (expected - 1, expected), how


def test_an_export_takes_pages_and_filters(store: Store, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, tenant, 7)
    with store.database.write() as connection:
        connection.execute(update(audit_event).where(MINE.number <= 3).values(at=MINE.at - 7200))
    whole = list(store.audit.export(tenant.id))
    monkeypatch.setattr("packshot.store.audit.PAGE", 3)
    assert list(store.audit.export(tenant.id)) == whole
    assert list(store.audit.export(tenant.id, after_number=5)) == whole[5:]
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert list(store.audit.export(tenant.id, AuditFilter(after=hour_ago))) == whole[3:]
    assert list(store.audit.export(tenant.id, AuditFilter(before=hour_ago))) == whole[:3]
    assert list(store.audit.export(tenant.id, AuditFilter(object_id="ph_6"))) == whole[6:]
    with pytest.raises(NotFound):
        list(store.audit.export("tn_unknown"))


def test_the_start_of_a_chain_goes_when_its_time_has_ended(open_store: Callable[..., Store], tenant: Tenant) -> None:
    store = open_store(audit_days=30)
    fill(store, tenant, PAGE + 4)
    with store.database.write() as connection:
        connection.execute(update(audit_event).where(MINE.number <= PAGE + 2).values(at=MINE.at - 31 * 86_400))
    # an aged line no longer fits; the two that stay must
    assert store.audit.sweep() == PAGE + 2
    checked = store.audit.check(tenant.id)
    assert (checked.first, checked.lines, store.audit.count(tenant.id)) == (PAGE + 3, 2, 2)
    assert checked.broken_at is None
    assert store.audit.sweep() == 0
    fill(store, tenant, 1)
    assert store.audit.check(tenant.id).lines == 3


def test_writers_and_chainers_at_once_make_one_chain_without_gaps(store: Store, tenant: Tenant) -> None:
    def work(number: int) -> None:
        for nth in range(12):
            store.audit.record(tenant.id, "file.delivered", f"im_{number}_{nth}")
            if nth % 3 == number % 3:
                store.audit.chain(tenant.id)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    checked = store.audit.check(tenant.id)
    assert (checked.lines, checked.broken_at) == (48, None)
    assert len({line["object"] for line in lines_of(store, tenant)}) == 48


def test_two_directors_record_each_picture_once(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 6)

    def direct(name: str) -> None:
        while (mine := store.queue.claim(name)) is not None:
            store.queue.commit(mine, [new_image()])
            store.queue.commit(mine, [new_image()])  # an answer that was lost, so the director repeats it

    with ThreadPoolExecutor(2) as directors:
        list(directors.map(direct, ("a", "b")))
    made = [line["object"] for line in lines_of(store, tenant) if line["action"] == "image.made"]
    assert len(made) == len(set(made)) == 6


def test_a_transaction_that_fails_leaves_no_event(store: Store, tenant: Tenant) -> None:
    def fail() -> None:
        with store.database.write() as connection:
            record_each(connection, tenant.id, "photo.deleted", [("ph_1", None)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.database.read() as connection:
        assert connection.execute(select(audit_event.c.id)).first() is None
        assert connection.execute(select(audit_chain.c.number)).first() is None
