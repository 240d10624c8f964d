"""The order of claims: priority, fairness between tenants and ageing; positions agree with it."""

from __future__ import annotations

from packshot.store.queue_order import AGEING_S
from packshot.store.records import Tenant
from packshot.store.schema import Now
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, claim, tamper


def drain(store: Store) -> list[str]:
    order = []
    while (claimed := store.queue.claim("w")) is not None:
        order.append(claimed.shot_id)
    return order


def test_interactive_goes_before_catalogue_and_older_before_newer(store: Store, tenant: Tenant) -> None:
    catalogue = add_shots(store, tenant, 2, priority="catalogue")
    interactive = add_shots(store, tenant, 2)
    assert drain(store) == interactive + catalogue


def test_tenants_take_turns(store: Store, tenant: Tenant) -> None:
    other = store.tenants.get_or_create("other")
    many, few = add_shots(store, tenant, 4), add_shots(store, other, 2)
    assert drain(store) == [many[0], few[0], many[1], few[1], many[2], many[3]]


def test_a_tenant_with_running_shots_waits_for_one_without(store: Store, tenant: Tenant) -> None:
    waiting = add_shots(store, tenant, 3)
    claim(store)
    claim(store)
    (fresh,) = add_shots(store, store.tenants.get_or_create("other"), 1)
    assert drain(store) == [fresh, waiting[2]]


def test_one_aged_catalogue_shot_goes_first_and_the_others_wait(store: Store, tenant: Tenant) -> None:
    catalogue = add_shots(store, tenant, 3, priority="catalogue")
    for one in catalogue:
        tamper(store, one, created_at=Now() - AGEING_S - 1)
    interactive = add_shots(store, tenant, 2)
    assert drain(store) == [catalogue[0], *interactive, *catalogue[1:]]


def test_ageing_repeats_after_a_while(store: Store, tenant: Tenant) -> None:
    catalogue = add_shots(store, tenant, 2, priority="catalogue")
    for one in catalogue:
        tamper(store, one, created_at=Now() - AGEING_S - 1)
    (interactive,) = add_shots(store, tenant, 1)
    mine = claim(store)
    assert mine.shot_id == catalogue[0]
    store.queue.commit(mine, [])
    tamper(store, catalogue[0], claimed_at=Now() - AGEING_S - 1)
    assert drain(store) == [catalogue[1], interactive]


def test_positions_are_the_order_of_claims(store: Store, tenant: Tenant) -> None:
    tenants = [tenant, store.tenants.get_or_create("b"), store.tenants.get_or_create("c")]
    owner: dict[str, Tenant] = {}
    for index in range(18):
        who = tenants[index * index % 3]
        kind = "catalogue" if index % 5 in (0, 3) else "interactive"
        (shot_id,) = add_shots(store, who, 1, priority=kind)
        owner[shot_id] = who
        if index in (2, 3, 5, 6, 9, 10):
            running = claim(store)
            owner.pop(running.shot_id)
            if index in (6, 10):
                store.queue.release(running)
                owner[running.shot_id] = next(one for one in tenants if one.id == running.tenant)
    aged = next(one for one in owner if store.shots.get(owner[one].id, one).priority == "catalogue")
    tamper(store, aged, created_at=Now() - AGEING_S - 1)
    backing_off = list(owner)[-1]
    tamper(store, backing_off, due_at=Now() + 1000)
    positions = {one: store.shots.get(who.id, one).position for one, who in owner.items()}
    assert sorted(positions.values()) == list(range(len(owner)))
    promised = sorted(positions, key=positions.__getitem__)
    assert promised[-1] == backing_off
    assert drain(store) == promised[:-1]
