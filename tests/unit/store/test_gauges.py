"""The gauges of the store: who waits for how long, and the connections that are in use."""

from __future__ import annotations

from packshot.shots.load_report import SharedLoadReport
from packshot.store.gauges import connection_gauges, queue_gauges
from packshot.store.records import Tenant
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, claim, tamper


def test_the_queue_is_shown_by_priority_and_tenant_the_longest_wait_first(store: Store, tenant: Tenant) -> None:
    other = store.tenants.get_or_create("other")
    first, *_ = add_shots(store, tenant, 2, priority="catalogue")
    add_shots(store, tenant, 1)
    add_shots(store, other, 3)
    claim(store)  # one that runs does not wait
    with store.database.read() as connection:
        created_at = connection.exec_driver_sql(f"SELECT created_at FROM shot WHERE id = '{first}'").scalar_one()
    tamper(store, first, created_at=created_at - 600)
    samples = queue_gauges(store)
    shots = {(s.labels["priority"], s.labels["tenant"]): s.value for s in samples if s.name == "packshot_queue_shots"}
    ages = [s for s in samples if s.name == "packshot_queue_oldest_seconds"]
    assert shots[("catalogue", tenant.id)] == 2
    assert sum(shots.values()) == 5
    assert ages[0].labels == {"priority": "catalogue", "tenant": tenant.id}
    assert 600 <= ages[0].value < 700
    assert all(0 <= age.value < 100 for age in ages[1:])
    assert [s.value for s in samples if s.name == "packshot_shots_queued"] == [5]


def test_the_shots_of_each_engine_are_those_that_directors_reported(store: Store, tenant: Tenant) -> None:
    """An engine that is not served any more is shown while shots wait for it."""
    add_shots(store, tenant, 2, engine="a")
    add_shots(store, tenant, 1, engine="a", priority="catalogue")
    add_shots(store, tenant, 1, engine="gone")
    SharedLoadReport(store)()
    samples = queue_gauges(store, {"a": "generator", "b": "generator-b"})
    found = {tuple(s.labels.values()): s.value for s in samples if s.name == "packshot_engine_shots"}
    assert found == {("a", "generator"): 3, ("b", "generator-b"): 0, ("gone", ""): 1}


def test_a_connection_in_use_is_counted(store: Store) -> None:
    def used() -> float:
        return next(s.value for s in connection_gauges(store) if s.labels["state"] == "used")

    before = used()
    with store.database.read():
        assert used() == before + 1
    assert used() == before
