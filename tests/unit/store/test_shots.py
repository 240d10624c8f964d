"""The clients' view of shots: durable acceptance, idempotency, limits, listing, cancellation."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from sqlalchemy import Connection, func, select

from packshot.errors import BadInput, Conflict, NotFound, Overloaded
from packshot.store import positions, shots
from packshot.store.positions import front_of
from packshot.store.records import PhotoRecord, Tenant
from packshot.store.schema import Now, shot
from packshot.store.shot_filter import ShotFilter
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import add_shots, claim, new_image, new_mask, tamper


def test_an_accepted_shot_waits_in_the_queue(store: Store, tenant: Tenant) -> None:
    record, created = store.shots.add(tenant.id, spec_of(prompt="é \x00 😀"))
    assert created
    assert (record.status, record.position, record.step, record.steps, record.attempt) == ("queued", 0, 0, 4, 0)
    assert record.spec.prompt == "é \x00 😀"
    assert store.shots.get(tenant.id, record.id) == record
    assert store.queue.counts()["queued"] == 1


def test_another_store_on_the_same_database_goes_on(open_store: Callable[..., Store]) -> None:
    first = open_store()
    tenant = first.tenants.get_or_create("acme")
    waiting = add_shots(first, tenant, 3)
    running = first.queue.claim("w")
    assert running is not None
    first.close()
    second = open_store()
    assert [one.id for one in second.shots.page(tenant.id)[0]] == waiting[::-1]
    assert second.queue.heartbeat(running, step=1, steps=4) is False
    claimed = second.queue.claim("w2")
    assert claimed is not None
    assert claimed.shot_id == waiting[1]


def test_a_pickled_store_opens_the_same_rows(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    copy = pickle.loads(pickle.dumps(store))
    try:
        assert copy.shots.get(tenant.id, shot_id).id == shot_id
        assert copy.settings == store.settings
    finally:
        copy.close()


def test_the_same_key_and_body_is_the_same_shot_in_its_present_state(store: Store, tenant: Tenant) -> None:
    first, created = store.shots.add(tenant.id, spec_of(prompt="a", images=2), idempotency_key="k")
    assert created
    store.queue.claim("w")
    again, created = store.shots.add(tenant.id, spec_of(images=2, prompt="a"), idempotency_key="k")
    assert (again.id, again.status, created) == (first.id, "running", False)


def test_the_same_key_with_another_body_is_refused(store: Store, tenant: Tenant) -> None:
    store.shots.add(tenant.id, spec_of(prompt="a"), idempotency_key="k")
    with pytest.raises(BadInput) as caught:
        store.shots.add(tenant.id, spec_of(prompt="b"), idempotency_key="k")
    assert caught.value.code == "idempotency_mismatch"
    other = store.tenants.get_or_create("other")
    assert store.shots.add(other.id, spec_of(prompt="b"), idempotency_key="k")[1]  # keys are per tenant


def test_sixteen_racing_repeats_make_one_shot(store: Store, tenant: Tenant) -> None:
    start = threading.Barrier(16)

    def post(_: int) -> tuple[str, bool]:
        start.wait()
        record, created = store.shots.add(tenant.id, spec_of(), idempotency_key="k")
        return record.id, created

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(post, range(16)))
    assert len({shot_id for shot_id, _ in answers}) == 1
    assert [created for _, created in answers].count(True) == 1
    with store.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(shot)).scalar_one() == 1


def test_a_full_queue_refuses_that_tenant_only(open_store: Callable[..., Store]) -> None:
    store = open_store(max_queued_shots=2)
    tenant, other = store.tenants.get_or_create("acme"), store.tenants.get_or_create("other")
    store.shots.add(tenant.id, spec_of(), idempotency_key="k")
    add_shots(store, tenant, 1)
    with pytest.raises(Overloaded) as caught:
        store.shots.add(tenant.id, spec_of())
    assert caught.value.code == "queue_full"
    assert caught.value.retry_after_s
    assert store.shots.add(tenant.id, spec_of(), idempotency_key="k")[1] is False  # a repeat takes no room
    add_shots(store, other, 1)
    store.queue.claim("w")
    add_shots(store, tenant, 1)


def test_racing_shots_never_overfill_the_queue(open_store: Callable[..., Store]) -> None:
    store = open_store(max_queued_shots=5)
    tenant = store.tenants.get_or_create("acme")

    def post(_: int) -> bool:
        try:
            return store.shots.add(tenant.id, spec_of())[1]
        except Overloaded:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(post, range(12))).count(True) == 5


def test_masks_must_exist_and_be_the_tenants(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    (mine,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    for stranger, mask_id in (
        (store.tenants.get_or_create("other"), mine.id),
        (tenant, "mk_unknown"),
        (tenant, "mk_\x00"),
    ):
        with pytest.raises(NotFound):
            store.shots.add(stranger.id, spec_of(mask_id))
    assert store.queue.counts()["queued"] == 0
    with pytest.raises(NotFound) as caught:
        store.shots.add(tenant.id, spec_of(mine.id, "mk_gone"))
    assert caught.value.errors is not None
    assert caught.value.errors[0]["loc"] == ["layers", 1, "mask_id"]
    assert store.masks.get(tenant.id, mine.id).expires_at is not None  # a refused shot pins nothing


def test_a_shot_pins_its_masks(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    used, unused = store.masks.add(tenant.id, photo.id, [new_mask(), new_mask()])
    store.shots.add(tenant.id, spec_of(used.id, used.id))
    assert store.masks.get(tenant.id, used.id).expires_at is None
    assert store.masks.get(tenant.id, unused.id).expires_at is not None


def test_a_shot_that_is_not_json_is_refused(store: Store, tenant: Tenant) -> None:
    with pytest.raises(BadInput):
        store.shots.add(tenant.id, spec_of(guidance_scale=float("nan")))
    assert store.queue.counts()["queued"] == 0


@pytest.mark.parametrize("key", ["", "k" * 256, "a\x00b", "\ud800"])
def test_an_unusable_idempotency_key_is_refused(store: Store, tenant: Tenant, key: str) -> None:
    with pytest.raises(BadInput):
        store.shots.add(tenant.id, spec_of(), idempotency_key=key)


def test_another_tenants_shot_does_not_exist(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    other = store.tenants.get_or_create("other")
    with pytest.raises(NotFound):
        store.shots.get(other.id, shot_id)
    with pytest.raises(NotFound):
        store.shots.cancel(other.id, shot_id)
    assert store.shots.page(other.id) == ([], None)
    assert store.shots.watch([(other.id, shot_id)]) == {}


@pytest.mark.parametrize("shot_id", ["", "sh_", "sh_none", "sh_\x00", "sh_\ud800", "sh_" + "x" * 100, "' OR 1=1 --"])
def test_an_impossible_id_is_not_found(store: Store, tenant: Tenant, shot_id: str) -> None:
    for call in (
        store.shots.get,
        store.shots.cancel,
        store.images.get,
        store.photos.get,
        store.masks.get,
        store.photos.delete,
    ):
        with pytest.raises(NotFound):
            call(tenant.id, shot_id)
    assert store.shots.watch([(tenant.id, shot_id)]) == {}


def test_pages_go_from_newest_to_oldest(store: Store, tenant: Tenant) -> None:
    ids = add_shots(store, tenant, 5)
    add_shots(store, store.tenants.get_or_create("other"), 1)
    seen: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page, cursor = store.shots.page(tenant.id, cursor=cursor, limit=2)
        seen += [one.id for one in page]
        pages += 1
    assert (seen, pages) == (ids[::-1], 3)
    store.shots.cancel(tenant.id, ids[1])
    assert [one.id for one in store.shots.page(tenant.id, ShotFilter(status="cancelled"))[0]] == [ids[1]]
    for bad in ("sh_none", "\x00"):
        with pytest.raises(BadInput):
            store.shots.page(tenant.id, cursor=bad)


def test_a_shot_keeps_its_clients_words_and_is_found_by_them(store: Store, tenant: Tenant) -> None:
    def add(**labels: Any) -> str:
        return store.shots.add(tenant.id, spec_of(), **labels)[0].id

    def found(**wanted: Any) -> list[str]:
        return [one.id for one in store.shots.page(tenant.id, ShotFilter(**wanted))[0]]

    red = add(sku="MUG-1", meta={"colour": "red", "say": 'it\'s "new"'})
    blue = add(sku="MUG-1", meta={"colour": "blue"})
    bare = add()
    record = store.shots.get(tenant.id, red)
    assert (record.sku, record.meta) == ("MUG-1", {"colour": "red", "say": 'it\'s "new"'})
    assert (store.shots.get(tenant.id, bare).sku, store.shots.get(tenant.id, bare).meta) == (None, {})
    assert found() == [bare, blue, red]
    assert found(sku="MUG-1") == [blue, red]
    assert found(meta=(("colour", "red"),)) == [red]
    assert found(meta=(("colour", "red"), ("say", 'it\'s "new"'))) == [red]
    assert found(meta=(("colour", "blue"), ("say", 'it\'s "new"'))) == found(sku="mug-1") == []
    for number, shot_id in enumerate((red, blue, bare)):
        tamper(store, shot_id, created_at=1000.0 + number)
    middle = datetime.fromtimestamp(1001, UTC)
    assert found(created_after=middle) == [bare, blue]
    assert found(created_before=middle) == [red]


def test_shots_are_found_by_the_review_of_their_pictures(store: Store, tenant: Tenant) -> None:
    def found(review: Literal["approved", "rejected", "none"]) -> list[str]:
        return [one.id for one in store.shots.page(tenant.id, ShotFilter(review=review))[0]]

    waiting, both = add_shots(store, tenant, 2)
    store.shots.cancel(tenant.id, waiting)
    images = store.queue.commit(claim(store), [new_image(), new_image(1)]).images
    assert (found("none"), found("approved")) == ([both], [])
    store.reviews.decide(tenant.id, images[0].id, "approved", by="local")
    assert (found("none"), found("approved"), found("rejected")) == ([both], [both], [])
    store.reviews.decide(tenant.id, images[1].id, "changes_requested", by="local", reason="other")
    assert (found("none"), found("approved"), found("rejected")) == ([], [both], [both])


@pytest.mark.parametrize("labels", [{"sku": "A"}, {"meta": {"a": "b"}}])
def test_a_key_repeats_a_shot_with_the_same_words_only(store: Store, tenant: Tenant, labels: dict[str, Any]) -> None:
    first, _ = store.shots.add(tenant.id, spec_of(), idempotency_key="k", **labels)
    again, created = store.shots.add(tenant.id, spec_of(), idempotency_key="k", **labels)
    assert (again.id, created) == (first.id, False)
    with pytest.raises(BadInput, match="idempotency_mismatch"):
        store.shots.add(tenant.id, spec_of(), idempotency_key="k")


def test_watch_answers_in_the_order_asked(store: Store, tenant: Tenant) -> None:
    first, second, third = add_shots(store, tenant, 3)
    mine = store.queue.claim("w")
    assert mine is not None
    store.queue.commit(mine, [new_image()])
    asked = [(tenant.id, one) for one in (third, first, "sh_none", third, second)]
    seen = store.shots.watch(asked)
    assert list(seen) == [(tenant.id, one) for one in (third, first, second)]
    assert [one.position for one in seen.values()] == [1, 0, 0]
    assert len(seen[tenant.id, first].images) == 1


def test_tenants_are_watched_together_and_see_only_their_own(
    store: Store, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shots, "WATCHED_AT_ONCE", 2)
    other = store.tenants.get_or_create("other")
    mine, theirs = add_shots(store, tenant, 2), add_shots(store, other, 1)
    everyone = [(one.id, shot_id) for one in (tenant, other) for shot_id in (*mine, *theirs)]
    assert list(store.shots.watch(everyone)) == [*((tenant.id, one) for one in mine), (other.id, theirs[0])]


def test_many_watchers_rank_the_queue_once(store: Store, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = add_shots(store, tenant, 3)
    rankings = []

    def counted(connection: Connection) -> dict[int, int]:
        rankings.append(1)
        return front_of(connection)

    monkeypatch.setattr(positions, "WATCH_FRESH_S", 1e9)
    monkeypatch.setattr(positions, "front_of", counted)
    for _ in range(5):
        assert [one.position for one in store.shots.watch([(tenant.id, one) for one in ids]).values()] == [0, 1, 2]
    assert len(rankings) == 1
    (new,) = add_shots(store, tenant, 1)
    seen = store.shots.watch([(tenant.id, new)])
    assert seen[tenant.id, new].position == 3  # one that was not there then is not at 0


def test_every_visible_change_raises_the_version(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    versions = [store.shots.get(tenant.id, shot_id).version]

    def look() -> None:
        versions.append(store.shots.get(tenant.id, shot_id).version)

    mine = store.queue.claim("w")
    assert mine is not None
    look()
    store.queue.heartbeat(mine, step=1, steps=4)
    look()
    store.shots.cancel(tenant.id, shot_id)
    look()
    store.queue.finish_cancelled(mine)
    look()
    assert versions == sorted(set(versions))


# Cancelling


def test_a_queued_shot_is_cancelled_at_once(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    record = store.shots.cancel(tenant.id, shot_id)
    assert (record.status, record.cancel_requested) == ("cancelled", False)
    assert record.finished_at is not None
    assert store.queue.claim("w") is None


def test_a_running_shot_hears_of_it_and_ends_cancelled(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    mine = store.queue.claim("w")
    assert mine is not None
    for _ in range(2):  # a second wish is no error
        record = store.shots.cancel(tenant.id, shot_id)
        assert (record.status, record.cancel_requested) == ("running", True)
    assert store.queue.heartbeat(mine, step=1, steps=4) is True
    assert store.queue.finish_cancelled(mine).status == "cancelled"


def test_an_ended_shot_cannot_be_cancelled(store: Store, tenant: Tenant) -> None:
    for ending in ("done", "failed", "cancelled"):
        (shot_id,) = add_shots(store, tenant, 1)
        mine = store.queue.claim("w")
        assert mine is not None
        if ending == "done":
            store.queue.commit(mine, [new_image()])
        elif ending == "failed":
            store.queue.fail(mine, "internal", "no", retryable=False)
        else:
            store.queue.finish_cancelled(mine)
        before = store.shots.get(tenant.id, shot_id)
        with pytest.raises(Conflict) as caught:
            store.shots.cancel(tenant.id, shot_id)
        assert caught.value.code == "already_finished"
        assert store.shots.get(tenant.id, shot_id) == before


@pytest.mark.parametrize("how", ["release", "retry", "fail", "expire"])
def test_a_wish_to_cancel_outlives_the_worker(store: Store, tenant: Tenant, how: str) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    mine = store.queue.claim("w")
    assert mine is not None
    store.shots.cancel(tenant.id, shot_id)
    if how == "release":
        store.queue.release(mine)
    elif how == "expire":
        tamper(store, shot_id, lease_until=Now() - 1)
    else:
        store.queue.fail(mine, "engine_failed", "no", retryable=how == "retry")
    assert store.queue.claim("w2") is None
    record = store.shots.get(tenant.id, shot_id)
    assert (record.status, record.error_code) == ("cancelled", None)
    assert record.finished_at is not None


def test_a_cancel_before_the_commit_ends_the_shot_without_images(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    mine = store.queue.claim("w")
    assert mine is not None
    store.shots.cancel(tenant.id, shot_id)
    ended = store.queue.commit(mine, [new_image()])
    assert (ended.status, ended.images, ended.cancel_requested) == ("cancelled", (), False)
    assert store.queue.commit(mine, [new_image()]).status == "cancelled"  # again: changes nothing
    with pytest.raises(Conflict) as caught:
        store.shots.cancel(tenant.id, shot_id)
    assert caught.value.code == "already_finished"


def test_a_cancel_during_the_commit_waits_and_is_refused(
    store: Store, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    mine = store.queue.claim("w")
    assert mine is not None
    began = threading.Event()
    take = store.queue._references.take

    def slowly(*arguments: Any) -> None:
        began.set()
        time.sleep(0.3)
        take(*arguments)

    monkeypatch.setattr(store.queue._references, "take", slowly)
    with ThreadPoolExecutor(1) as pool:
        commit = pool.submit(store.queue.commit, mine, [new_image()])
        assert began.wait(120)
        with pytest.raises(Conflict) as caught:
            store.shots.cancel(tenant.id, shot_id)
        assert caught.value.code == "already_finished"
        assert commit.result().status == "done"
    assert len(store.shots.get(tenant.id, shot_id).images) == 1


def test_racing_cancel_and_claim_agree(store: Store, tenant: Tenant) -> None:
    ids = add_shots(store, tenant, 6)
    start = threading.Barrier(2)

    def cancel_all() -> list[str]:
        start.wait()
        return [store.shots.cancel(tenant.id, one).status for one in ids]

    def claim_all() -> set[str]:
        start.wait()
        claims = set()
        while (mine := store.queue.claim("w")) is not None:
            claims.add(mine.shot_id)
        return claims

    with ThreadPoolExecutor(2) as pool:
        statuses, claimed = pool.submit(cancel_all), pool.submit(claim_all)
    expected = {one for one, status in zip(ids, statuses.result(), strict=True) if status == "running"}
    assert expected == claimed.result()


def test_a_key_belongs_to_what_was_sent_or_to_what_it_meant(store: Store, tenant: Tenant) -> None:
    sent = {"prompt": "a"}
    first, _ = store.shots.add(tenant.id, spec_of(prompt="a", steps=16), idempotency_key="k", sent=sent)
    repeated = store.shots.repeated(tenant.id, "k", sent)
    assert repeated is not None
    assert repeated.id == first.id
    assert store.shots.repeated(tenant.id, "k", {"prompt": "b"}) is None
    assert store.shots.repeated(store.tenants.get_or_create("other").id, "k", sent) is None
    for steps, body in ((40, sent), (16, {"prompt": "a", "steps": 16}), (16, None)):
        again, created = store.shots.add(tenant.id, spec_of(prompt="a", steps=steps), idempotency_key="k", sent=body)
        assert (again.id, created) == (first.id, False)
    with pytest.raises(BadInput, match="idempotency_mismatch"):
        store.shots.add(tenant.id, spec_of(prompt="a", steps=40), idempotency_key="k", sent={"steps": 40})
