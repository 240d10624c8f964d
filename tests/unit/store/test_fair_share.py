"""Fair share: over 200 shots each tenant gets the share of its weight, however many places the directors have."""

from __future__ import annotations

from collections import Counter, deque

import pytest

from packshot.store.records import Claim, Tenant
from packshot.store.store import Store
from tests.unit.store.store_rows import add_shots, claim, copy_shot


def shares(store: Store, places: int, count: int) -> Counter[str]:
    """How many of the next `count` shots each tenant gets when `places` run at once and all take equally long."""
    running: deque[Claim] = deque()
    owners: Counter[str] = Counter()
    for _ in range(count):
        if len(running) == places:
            store.queue.finish_cancelled(running.popleft())
        running.append(claim(store))
        owners[running[-1].tenant] += 1
    return owners


@pytest.mark.parametrize(("weight", "places", "within"), [(1.0, 1, 0.1), (1.0, 5, 0.1), (3.0, 6, 0.15)])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_two_tenants_share_200_shots_by_weight(
    store: Store, tenant: Tenant, weight: float, places: int, within: float
) -> None:
    """The other tenant came later: each of its shots is newer than all of the first one's."""
    other = store.tenants.get_or_create("other")
    store.tenants.set_weight(tenant.id, weight)
    for owner in (tenant, other):
        (one,) = add_shots(store, owner, 1, priority="catalogue")
        copy_shot(store, one, 199)
    found = shares(store, places, 200)
    fair = 200 * weight / (weight + 1)
    assert found[tenant.id] == pytest.approx(fair, rel=within)
    assert found[other.id] == pytest.approx(200 - fair, rel=within)
