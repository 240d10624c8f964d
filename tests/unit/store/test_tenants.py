"""A tenant is created once, on first use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from packshot.store.store import Store


def test_the_local_tenant_is_one_however_many_ask(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = {tenant.id for tenant in pool.map(lambda _: store.tenants.local(), range(8))}
    assert len(found) == 1
    assert store.tenants.local().name == "local"
