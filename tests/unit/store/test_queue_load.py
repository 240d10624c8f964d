"""The load of the queue: waiting, running and arrived shots, by priority, in pictures and row-steps."""

from __future__ import annotations

import pytest

from packshot.contract.shot_spec import Background
from packshot.store.load_records import Flow, Load, QueueLoad
from packshot.store.records import Tenant
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, claim, copy_shot, new_image


def test_an_empty_store_has_no_load(store: Store) -> None:
    assert store.queue.load() == QueueLoad(0, Flow(), Flow())


def test_work_is_counted_in_pictures_and_row_steps(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 2, images=3, steps=10, guidance_scale=7.5, background=Background("generate"))
    add_shots(store, tenant, 1, images=1, steps=10, guidance_scale=1.0)
    add_shots(
        store, tenant, 1, images=4, steps=10, guidance_scale=7.5, background=Background("white"), priority="catalogue"
    )
    load = store.queue.load()
    assert load.interactive == Flow(waiting=Load(3, 7, 2 * 3 * 10 * 2 + 10))
    assert load.catalogue == Flow(waiting=Load(1, 4, 0))


def test_a_running_shot_counts_what_is_left_and_an_ended_one_nothing(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 2, images=2, steps=10, guidance_scale=2.0)
    first, second = store.queue.claim("w"), store.queue.claim("w")
    assert first is not None
    assert second is not None
    store.queue.heartbeat(first, step=15, steps=20)
    assert store.queue.load().interactive == Flow(running=Load(2, 4, 2 * 5 + 2 * 20))
    store.queue.commit(first, [new_image()])
    assert store.queue.load().interactive == Flow(running=Load(1, 2, 2 * 20))


def test_each_shot_arrives_once_whatever_became_of_it(store: Store, tenant: Tenant) -> None:
    add_shots(store, tenant, 1, steps=5)
    before = store.queue.load()
    assert before.interactive.arrived == Load()
    add_shots(store, tenant, 1, images=2, steps=5)
    for _ in range(2):
        claim = store.queue.claim("w")
        assert claim is not None
        store.queue.commit(claim, [new_image()])
    after = store.queue.load(before.last_seq)
    assert after.interactive == Flow(arrived=Load(1, 2, 10))
    assert store.queue.load(after.last_seq).interactive == Flow()


RATES = {"row_step_s": 0.05, "picture_s": 0.2}


def test_pending_work_is_seconds_of_one_device(store: Store, tenant: Tenant) -> None:
    assert store.queue.pending_device_s(**RATES) == {"interactive": 0.0, "catalogue": 0.0}
    add_shots(store, tenant, 2, images=3, steps=10, guidance_scale=7.5, background=Background("generate"))
    add_shots(store, tenant, 1, images=4, background=Background("white"), priority="catalogue")
    pending = store.queue.pending_device_s(**RATES)
    assert pending == pytest.approx({"interactive": 2 * (3 * 0.2 + 60 * 0.05), "catalogue": 4 * 0.2})
    claim(store)
    assert store.queue.pending_device_s(**RATES)["interactive"] == pytest.approx(pending["interactive"] / 2)


def test_the_work_of_fifty_thousand_waiting_shots_is_one_sum(store: Store, tenant: Tenant) -> None:
    """The load that the autoscaler reads agrees with it: the same pictures and row-steps."""
    (one,) = add_shots(store, tenant, 1, images=2, steps=10, guidance_scale=2.0, priority="catalogue")
    copy_shot(store, one, 49_999)
    pending = store.queue.pending_device_s(**RATES)
    assert pending == pytest.approx({"interactive": 0.0, "catalogue": 50_000 * (2 * 0.2 + 40 * 0.05)})
    assert store.queue.load().catalogue.waiting == Load(50_000, 100_000, 2_000_000)
