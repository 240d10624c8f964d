"""The workers' view of shots: leases, fences, attempts, crashes."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from packshot.errors import LeaseLost
from packshot.store import queue
from packshot.store.queue_changes import MAX_INTERRUPTIONS
from packshot.store.records import Tenant
from packshot.store.schema import Now, image, shot
from packshot.store.store import Store
from tests.specs import spec_of
from tests.unit.store.store_rows import add_photo, add_shots, claim, new_image, new_mask, tamper


def let_expire(store: Store, shot_id: str) -> None:
    tamper(store, shot_id, lease_until=Now() - 0.01)


def seconds_until(store: Store, shot_id: str, column: str) -> float:
    """The seconds from now, by the database's clock, until the time in this column of the shot's row."""
    with store.database.read() as connection:
        query = select(shot.c[column] - Now()).where(shot.c.id == shot_id)
        return float(connection.execute(query).scalar_one())


def test_a_claim_says_what_to_do_and_the_shot_runs(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1, prompt="on marble")
    claimed = claim(store, "worker-1")
    assert (claimed.shot_id, claimed.tenant, claimed.worker) == (shot_id, tenant.id, "worker-1")
    assert (claimed.attempt, claimed.crashes, claimed.spec.prompt) == (1, 0, "on marble")
    record = store.shots.get(tenant.id, shot_id)
    assert (record.status, record.position, record.attempt) == ("running", 0, 1)
    assert record.started_at is not None
    assert record.started_at >= record.created_at
    assert store.queue.claim("worker-2") is None


def test_racing_workers_never_claim_the_same_shot(store: Store, tenant: Tenant) -> None:
    ids = add_shots(store, tenant, 24)
    start = threading.Barrier(6)

    def work(name: str) -> list[str]:
        start.wait()
        mine = []
        while (claimed := store.queue.claim(name)) is not None:
            mine.append(claimed.shot_id)
        return mine

    with ThreadPoolExecutor(6) as pool:
        claimed = [one for mine in pool.map(work, "abcdef") for one in mine]
    # A worker may find every free row locked by others and go home early; no row is taken twice.
    assert max(Counter(claimed).values()) == 1
    while (rest := store.queue.claim("g")) is not None:
        claimed.append(rest.shot_id)
    assert sorted(claimed) == sorted(ids)


def test_commit_ends_the_shot_with_its_images(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 1)
    done = store.queue.commit(claim(store), [new_image(1, b"second"), new_image(0, b"first")])
    assert (done.status, done.step, done.steps, done.error_code) == ("done", 4, 4, None)
    assert [(one.index, one.seed, store.assets.get(one.asset_key)) for one in done.images] == [
        (0, 7, b"first"),
        (1, 8, b"second"),
    ]
    assert store.shots.get(tenant.id, done.id) == done
    assert store.queue.claim("w") is None


def test_commit_repeated_by_its_own_claim_changes_nothing(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 1)
    mine = claim(store)
    assert store.queue.commit(mine, [new_image()]) == store.queue.commit(mine, [new_image()])
    assert count_images(store) == 1


def test_commit_is_fenced_whoever_comes_first(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    late = claim(store, "late")
    let_expire(store, shot_id)
    new = claim(store, "new")
    assert (new.shot_id, new.epoch) == (shot_id, late.epoch + 1)
    for attempt in (
        lambda: store.queue.commit(late, [new_image(png=b"late")]),
        lambda: store.queue.heartbeat(late, step=1, steps=4),
        lambda: store.queue.fail(late, "engine_failed", "no", retryable=True),
        lambda: store.queue.release(late),
        lambda: store.queue.finish_cancelled(late),
    ):
        with pytest.raises(LeaseLost):
            attempt()
    assert store.shots.get(tenant.id, shot_id).status == "running"
    done = store.queue.commit(new, [new_image(png=b"new")])
    with pytest.raises(LeaseLost):
        store.queue.commit(late, [new_image(png=b"late")])
    assert store.assets.get(done.images[0].asset_key) == b"new"
    assert count_images(store) == 1


def test_racing_commits_of_one_claim_make_one_set_of_images(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 1)
    mine = claim(store)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: store.queue.commit(mine, [new_image(), new_image(1)]), range(4)))
    assert len({one.id for record in done for one in record.images}) == 2
    assert count_images(store) == 2


def count_images(store: Store) -> int:
    with store.database.read() as connection:
        return connection.execute(select(func.count()).select_from(image)).scalar_one()


def test_a_failed_commit_leaves_the_shot_running(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    mine = claim(store)
    with pytest.raises(ValueError, match="indexes must differ"):
        store.queue.commit(mine, [new_image(0), new_image(0)])
    assert store.shots.get(tenant.id, shot_id).status == "running"
    assert store.queue.commit(mine, [new_image(0)]).status == "done"


def test_a_lease_runs_out_by_the_databases_clock(open_store: Any) -> None:
    store = open_store(lease_s=0.05)
    tenant = store.tenants.get_or_create("acme")
    (shot_id,) = add_shots(store, tenant, 1)
    first = claim(store)
    with store.database.read() as connection:
        begin = connection.execute(select(Now())).scalar_one()
    while (second := store.queue.claim("other")) is None:
        pass
    with store.database.read() as connection:
        assert connection.execute(select(Now())).scalar_one() - begin < 25  # not the 30 s of the settings
    assert (second.shot_id, second.epoch) == (shot_id, first.epoch + 1)


def test_a_heartbeat_extends_the_lease_and_reports_progress(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    mine = claim(store)
    tamper(store, shot_id, lease_until=Now() + 1.0)
    before = store.shots.get(tenant.id, shot_id)
    assert store.queue.heartbeat(mine, step=2, steps=4, preview_version=1) is False
    after = store.shots.get(tenant.id, shot_id)
    assert (after.step, after.steps, after.preview_version, after.version) == (2, 4, 1, before.version + 1)
    assert seconds_until(store, shot_id, "lease_until") > 20
    store.queue.heartbeat(mine, step=2, steps=4)
    assert store.shots.get(tenant.id, shot_id) == after  # nothing that a client sees has changed


def test_before_the_first_step_the_number_of_steps_stays(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    expected = store.shots.get(tenant.id, shot_id).steps
    store.queue.heartbeat(claim(store), step=0, steps=0)
    after = store.shots.get(tenant.id, shot_id)
    assert (after.step, after.steps) == (0, expected)
    assert expected > 0


def test_a_lost_lease_is_an_interruption_and_no_attempt(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    claim(store)
    let_expire(store, shot_id)
    again = claim(store)
    assert (again.attempt, again.crashes, again.interruptions) == (1, 0, 1)


def test_a_shot_that_loses_too_many_leases_ends_and_only_it(store: Store, tenant: Tenant) -> None:
    unlucky, other = add_shots(store, tenant, 2)
    for interruptions in range(MAX_INTERRUPTIONS + 1):
        if interruptions > 1:  # it waits, while another shot is claimed and put back
            store.queue.release(claim(store, "next"))
            assert store.shots.get(tenant.id, unlucky).status == "queued"
            assert seconds_until(store, unlucky, "due_at") > min(2.0 ** (interruptions - 1), 60) - 2
            tamper(store, unlucky, due_at=0)
        assert claim(store).shot_id == unlucky
        let_expire(store, unlucky)
    assert claim(store).shot_id == other
    record = store.shots.get(tenant.id, unlucky)
    assert (record.status, record.error_code) == ("failed", "interrupted")
    assert record.finished_at is not None


def test_the_second_reported_crash_ends_the_shot(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    assert store.queue.fail(claim(store), "engine_failed", "died", retryable=True, crashed=True).status == "queued"
    tamper(store, shot_id, due_at=0)
    again = claim(store)
    assert again.crashes == 1
    record = store.queue.fail(again, "engine_failed", "died", retryable=True, crashed=True)
    assert (record.status, record.error_code, record.error_detail) == ("failed", "engine_crash", "died")


def test_a_retryable_failure_backs_off_and_has_three_attempts(
    store: Store, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "BACKOFF_S", 1000.0)
    (shot_id,) = add_shots(store, tenant, 1)
    waits = []
    for attempt in (1, 2):
        mine = claim(store)
        assert mine.attempt == attempt
        assert store.queue.fail(mine, "engine_out_of_memory", "too big", retryable=True).status == "queued"
        assert store.queue.claim("w") is None
        waits.append(seconds_until(store, shot_id, "due_at"))
        tamper(store, shot_id, due_at=0)
    assert 900 < waits[0] <= 1000 < 3900 < waits[1] <= 4000
    record = store.queue.fail(claim(store), "engine_out_of_memory", "too \x00big\ud800", retryable=True)
    assert (record.status, record.error_code, record.attempt) == ("failed", "engine_out_of_memory", 3)
    assert caplog.text.encode().count(b"too big") == 3  # files of logs are UTF-8
    assert store.queue.claim("w") is None


def test_an_outage_waits_as_long_as_was_asked_for_and_counts_no_attempt(store: Store, tenant: Tenant) -> None:
    (shot_id,) = add_shots(store, tenant, 1)
    for asked_s, waits_s in ((None, 2.0), (1.0, 2.0), (500.0, 500.0)):
        mine = claim(store)
        assert mine.attempt == 1
        store.queue.postpone(mine, "remote_unavailable", "429", retry_after_s=asked_s)
        assert waits_s - 1 < seconds_until(store, shot_id, "due_at") <= max(waits_s, 4.0)
        tamper(store, shot_id, due_at=0)


def test_a_permanent_failure_ends_the_shot_at_once(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 1)
    record = store.queue.fail(claim(store), "mask_empty", "no product", retryable=False)
    assert (record.status, record.error_code, record.error_detail) == ("failed", "mask_empty", "no product")


def test_a_released_shot_is_next_again_and_its_attempt_uncounted(store: Store, tenant: Tenant) -> None:
    first, _ = add_shots(store, tenant, 2)
    store.queue.release(claim(store))
    again = claim(store)
    assert (again.shot_id, again.attempt, again.crashes) == (first, 1, 0)


def test_the_whole_way_of_a_shot(store: Store, tenant: Tenant) -> None:
    photo = add_photo(store, tenant)
    (kept,) = store.masks.add(tenant.id, photo.id, [new_mask()])
    record, created = store.shots.add(tenant.id, spec_of(kept.id))
    assert created
    mine = claim(store)
    assert store.masks.get(mine.tenant, mine.spec.mask_ids[0]).photo_id == photo.id
    store.queue.heartbeat(mine, step=1, steps=4)
    assert store.queue.commit(mine, [new_image()]).id == record.id
    assert store.queue.counts() == {"queued": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 0}
