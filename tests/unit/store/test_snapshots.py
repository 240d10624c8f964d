"""Snapshots: one process computes a value for all, and another takes over when it dies. So is the load reported."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import update

from packshot.shots import SharedLoadReport, load_report
from packshot.store.census import read_census
from packshot.store.records import Tenant
from packshot.store.schema import Now, snapshot
from packshot.store.snapshots import LEASE_S, LOAD, Snapshot
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, copy_shot


def age(store: Store, name: str, seconds: float) -> None:
    with store.database.write() as connection:
        older = {"taken_at": snapshot.c.taken_at - seconds, "lease_until": snapshot.c.lease_until - seconds}
        connection.execute(update(snapshot).where(snapshot.c.name == name).values(older))


def test_a_value_is_computed_once_until_it_is_old(store: Store) -> None:
    seen: list[Any] = []

    def compute(before: Snapshot | None) -> int:
        seen.append(None if before is None else before.value)
        return len(seen)

    values = [store.snapshots.shared("n", 100, compute) for _ in range(3)]
    assert [value and value.value for value in values] == [1, 1, 1]
    assert seen == [None]
    age(store, "n", 101)
    assert store.snapshots.shared("n", 100, compute) == Snapshot(2, 0.0)
    assert seen == [None, 1]


def test_of_many_processes_one_computes(open_store: Callable[..., Store]) -> None:
    stores = [open_store() for _ in range(4)]
    computed = []
    barrier = Barrier(4)

    def ask(store: Store) -> Snapshot | None:
        def compute(before: Snapshot | None) -> str:
            computed.append(1)
            return "value"

        barrier.wait()
        return store.snapshots.shared("n", 100, compute)

    with ThreadPoolExecutor(4) as pool:
        values = list(pool.map(ask, stores))
    assert len(computed) == 1
    assert next(value for value in values if value is not None).value == "value"


def test_another_process_takes_over_from_one_that_died(store: Store, open_store: Callable[..., Store]) -> None:
    def dies(before: Snapshot | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.snapshots.shared("n", 100, dies)
    other = open_store()
    assert other.snapshots.shared("n", 100, lambda before: 1) is None  # it may still be computed
    age(store, "n", 1000)
    assert other.snapshots.shared("n", 100, lambda before: 1) == Snapshot(1, 0.0)


def test_the_directors_share_one_count_of_the_queue(
    open_store: Callable[..., Store], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of them ask within an interval; the queue is counted once."""
    monkeypatch.setattr(load_report, "REPORT_EVERY_S", 1000.0)
    stores = [open_store() for _ in range(10)]
    add_shots(stores[0], tenant, 3)
    reports = [SharedLoadReport(one) for one in stores]
    counted = []
    for one in stores:
        load = one.queue.load

        def counting(since_seq: int | None = None, load: Callable[..., Any] = load) -> Any:
            counted.append(since_seq)
            return load(since_seq)

        monkeypatch.setattr(one.queue, "load", counting)
    told = [report() for report in reports]
    assert len(counted) == 1
    assert {report["interactive_waiting_shots"] for report in told} == {3.0}


def test_the_next_director_counts_on_from_the_last_ones_arrivals(
    open_store: Callable[..., Store], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = open_store(), open_store()
    told = SharedLoadReport(first)()
    assert told["interactive_slow_shots"] == 0
    add_shots(first, tenant, 6)
    age(first, LOAD, 60)  # the first director died
    told = SharedLoadReport(second)()
    assert told["seen_s"] >= 60
    assert told["interactive_slow_shots"] == pytest.approx(6 / 60, rel=0.2)
    age(first, LOAD, 3600)  # all of them were away
    told = SharedLoadReport(first)()
    assert told["interactive_slow_shots"] == 0
    assert told["seen_s"] < 60


def test_a_report_that_is_old_is_not_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    SharedLoadReport(store)()
    age(store, LOAD, load_report.REPORT_FRESH_S + 1)
    with store.database.write() as connection:  # another director is counting, and hangs
        connection.execute(update(snapshot).values(lease_until=Now() + LEASE_S))
    assert SharedLoadReport(store)() == {}


def test_the_director_that_counts_takes_the_census_of_a_long_queue(store: Store, tenant: Tenant) -> None:
    (one,) = add_shots(store, tenant, 1)
    copy_shot(store, one, 300)
    SharedLoadReport(store)()
    (late,) = add_shots(store, tenant, 1)
    with store.database.read() as connection:
        census = read_census(connection)
    assert census.tenants[tenant.id].line("interactive").count == 301  # the snapshot's, without the last one
    assert store.shots.get(tenant.id, late).position == pytest.approx(301, abs=1)
