"""Usage is added up when a shot is done, and a budget bounds what is accepted; both to the shot, whatever ends when."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from packshot.errors import BadInput, BudgetSpent, NotFound
from packshot.store.database import moment
from packshot.store.periods import DAY_S, date_of, day_of, month_of, next_month
from packshot.store.records import NewImage, PhotoRecord, Tenant
from packshot.store.schema import Now
from packshot.store.schema_usage import key_usage, sku_usage
from packshot.store.schema_webhooks import webhook_message
from packshot.store.store import Store
from packshot.store.usage import UsageGroup, Used
from tests.specs import recipe_of, spec_of
from tests.unit.store.catalogue_steps import SCENES, accept_all, add_catalogue, collect, items_of, run_shots
from tests.unit.store.store_rows import claim, new_image, new_mask

KEY = "ky_one"


def painted(index: int = 0, device_ms: float = 1500.0) -> NewImage:
    return replace(new_image(index), recipe=recipe_of(7 + index, device=device_ms, steps=9e9))


def make(store: Store, tenant: Tenant, images: int = 1, **labels: Any) -> str:
    """A shot that is done."""
    shot = store.shots.add(tenant.id, spec_of(images=images), **labels)[0].id
    store.queue.commit(claim(store), [painted(index) for index in range(images)])
    return shot


def used(store: Store, tenant: Tenant, group: UsageGroup) -> list[Used]:
    return store.usage.page(tenant.id, group).rows


def reached(store: Store) -> list[dict[str, Any]]:
    query = select(webhook_message.c.body).where(webhook_message.c.event == "budget.reached")
    with store.database.read() as connection:
        return [json.loads(body)["data"] for body in connection.execute(query).scalars()]


def yesterday(store: Store, days: int = 1) -> None:
    """Let what was used have been used `days` before."""
    with store.database.write() as connection:
        for table in (key_usage, sku_usage):
            connection.execute(update(table).values(day=table.c.day - days))


def today(store: Store) -> int:
    with store.database.read() as connection:
        return day_of(connection.execute(select(Now())).scalar_one())


def test_usage_is_by_sku_key_and_day(store: Store, tenant: Tenant) -> None:
    make(store, tenant, images=2, sku="MUG", key_id=KEY)
    yesterday(store)
    make(store, tenant, sku="MUG", key_id=KEY)
    make(store, tenant, sku="RING")
    store.queue.fail((store.shots.add(tenant.id, spec_of(), sku="MUG"), claim(store))[1], "e", "x", retryable=False)
    make(store, store.tenants.get_or_create("other"), sku="MUG", key_id=KEY)
    day = today(store)
    since, until = date_of(day - 1), date_of(day)

    def page(group: UsageGroup, **more: Any) -> list[Used]:
        return store.usage.page(tenant.id, group, since=since, until=until, **more).rows

    assert page("sku") == [Used("MUG", 2, 3, 4.5), Used("RING", 1, 1, 1.5)]
    assert page("key") == [Used(None, 1, 1, 1.5), Used(KEY, 2, 3, 4.5)]
    assert page("day") == [Used(str(since), 1, 2, 3.0), Used(str(until), 2, 2, 3.0)]
    for group in ("sku", "key", "day"):
        first = store.usage.page(tenant.id, group, since=since, until=until, limit=1)
        rest = store.usage.page(tenant.id, group, since=since, until=until, limit=1, cursor=first.next_cursor)
        assert [*first.rows, *rest.rows] == page(group)
        assert first.total == rest.total == Used(None, 3, 4, 6.0)
        assert rest.next_cursor is None
    assert store.usage.page(tenant.id, "day", since=until).rows == [Used(str(until), 2, 2, 3.0)]
    for wrong in ({"since": until, "until": since}, {"cursor": "x"}, {"cursor": "=x"}, {"cursor": "=\x00"}):
        with pytest.raises(BadInput):
            store.usage.page(tenant.id, "day", **wrong)
    with pytest.raises(BadInput):
        store.usage.page(tenant.id, "sku", cursor="=\x00")


def test_images_a_day_count_from_acceptance_and_come_back_when_a_shot_fails(store: Store, tenant: Tenant) -> None:
    store.webhooks.add(tenant.id, "https://receiver.example/", ["budget.reached"])
    store.budgets.set(tenant.id, {"images_per_day": 4})
    make(store, tenant, images=2)
    waiting = store.shots.add(tenant.id, spec_of(images=1), idempotency_key="k")[0]
    with pytest.raises(BudgetSpent) as refused:
        store.shots.add(tenant.id, spec_of(images=2))
    assert "may have 4 images a day, 3 are used, and 2 more were asked for" in refused.value.detail
    midnight = datetime.fromtimestamp((today(store) + 1) * DAY_S, UTC)
    assert f"{midnight:%Y-%m-%dT%H:%M:%SZ}" in refused.value.detail
    assert 0 < (refused.value.retry_after_s or 0) <= DAY_S
    assert store.shots.add(tenant.id, spec_of(images=1), idempotency_key="k") == (waiting, False)
    store.shots.cancel(tenant.id, waiting.id)
    store.shots.add(tenant.id, spec_of(images=2))
    [told] = reached(store)
    assert (told["owner"], told["owner_id"], told["budget"]) == ("tenant", tenant.id, "images_per_day")
    assert (told["limit"], told["spent"]) == (4, 3)
    with pytest.raises(BudgetSpent):
        store.shots.add(tenant.id, spec_of())
    assert len(reached(store)) == 1, "once in a period"
    store.queue.commit(claim(store), [painted(), painted(1)])
    yesterday(store)
    store.shots.add(tenant.id, spec_of(images=4))
    assert [spending.spent for spending in store.budgets.of(tenant.id, None)] == [4]


def test_a_key_has_its_own_budget_beside_its_tenants(store: Store, tenant: Tenant) -> None:
    key, other = (store.keys.create(tenant.name).record.id for _ in range(2))
    store.budgets.set(key, {"images_per_day": 2, "live_shots": 1})
    store.budgets.set(tenant.id, {"images_per_day": 3})
    make(store, tenant, key_id=key)
    make(store, tenant, key_id=other)
    store.shots.add(tenant.id, spec_of(), key_id=key)
    for key_id, what in ((key, "this key may have 2 images a day"), (other, "this tenant may have 3 images a day")):
        with pytest.raises(BudgetSpent, match=what):
            store.shots.add(tenant.id, spec_of(), key_id=key_id)
    spendings = {(one.owner, one.name): (one.spent, one.left) for one in store.budgets.of(tenant.id, key)}
    assert spendings == {
        ("key", "images_per_day"): (2, 0),
        ("key", "live_shots"): (1, 0),
        ("tenant", "images_per_day"): (3, 0),
    }
    store.budgets.set(key, {"live_shots": 1})
    with pytest.raises(BudgetSpent, match="this key may have 1 live shots, 1 are used") as refused:
        store.shots.add(tenant.id, spec_of(), key_id=key)
    assert refused.value.retry_after_s == 10
    store.budgets.set(key, {})
    assert {one.owner for one in store.budgets.of(tenant.id, key)} == {"tenant"}


def test_device_seconds_of_a_month_end_with_the_shot_that_reaches_them(store: Store, tenant: Tenant) -> None:
    store.webhooks.add(tenant.id, "https://receiver.example/", ["budget.reached"])
    store.budgets.set(tenant.id, {"device_s_per_month": 3.0})
    make(store, tenant)
    assert reached(store) == []
    make(store, tenant)
    [told] = reached(store)
    assert (told["budget"], told["limit"], told["spent"]) == ("device_s_per_month", 3.0, 3.0)
    with pytest.raises(BudgetSpent, match="may have 3 device-seconds a month, 3 are used"):
        store.shots.add(tenant.id, spec_of())
    [spending] = store.budgets.of(tenant.id, None)
    day = today(store)
    assert spending.resets_at == moment(next_month(day) * DAY_S)
    yesterday(store, days=day - month_of(day) + 1)
    store.shots.add(tenant.id, spec_of())


def test_a_budget_holds_against_requests_at_the_same_time(store: Store, tenant: Tenant) -> None:
    store.budgets.set(tenant.id, {"images_per_day": 5, "live_shots": 100})

    def ask(_: int) -> bool:
        try:
            store.shots.add(tenant.id, spec_of())
        except BudgetSpent:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(16))) == 5


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), 2.0**60])
def test_a_budget_of_nothing_is_refused(store: Store, tenant: Tenant, limit: float) -> None:
    with pytest.raises(BadInput, match="images_per_day must be above 0"):
        store.budgets.set(tenant.id, {"images_per_day": limit})
    assert store.budgets.get(tenant.id) == []


def test_only_a_tenant_or_key_that_exists_has_a_budget(store: Store) -> None:
    for unknown in ("tn_unknown", "ky_unknown", "sh_unknown", "\x00"):
        with pytest.raises(NotFound):
            store.budgets.set(unknown, {"live_shots": 1})


def test_the_periods_are_calendar_days_and_months() -> None:
    december = day_of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC).timestamp())
    assert str(date_of(december)) == "2026-12-31"
    assert str(date_of(month_of(december))) == "2026-12-01"
    assert str(date_of(next_month(december))) == "2027-01-01"
    assert next_month(month_of(december)) - month_of(december) == 31
    assert date_of(december + 1) - date_of(december) == timedelta(days=1)


def test_a_catalogues_rows_wait_while_a_budget_is_used_up(store: Store, tenant: Tenant, photo: PhotoRecord) -> None:
    mask_id = store.masks.add(tenant.id, photo.id, [new_mask()])[0].id
    record = add_catalogue(store, tenant, items_of(3), **SCENES)  # two pictures a row
    store.catalogues.start(tenant.id, record.id)
    store.budgets.set(tenant.id, {"images_per_day": 4})
    assert accept_all(store, record, mask_id) == 4
    run_shots(store, 4)
    collect(store, record)
    assert accept_all(store, record, mask_id) == 0
    assert store.catalogues.get(tenant.id, record.id).state == "running"
    yesterday(store)
    assert accept_all(store, record, mask_id) == 2


def test_a_shot_whose_vendor_is_paid_needs_a_budget_and_leaves_it_its_price(store: Store, tenant: Tenant) -> None:
    for live_shots in (None, 9):
        store.budgets.set(tenant.id, {"live_shots": live_shots})
        with pytest.raises(BudgetSpent, match="needs a budget of images a day or device-seconds") as refused:
            store.shots.add(tenant.id, spec_of(), price_device_s=60.0)
        assert refused.value.code == "budget_needed"
        assert not store.budgets.bounds_costs(tenant.id, None)
    store.budgets.set(tenant.id, {"device_s_per_month": 100.0})
    assert store.budgets.bounds_costs(tenant.id, None)
    with pytest.raises(BudgetSpent, match="0 are used, and 120 more were asked for") as refused:
        store.shots.add(tenant.id, spec_of(images=2), price_device_s=120.0)
    assert refused.value.code == "budget_spent"
    store.shots.add(tenant.id, spec_of(), price_device_s=60.0)
    store.queue.commit(claim(store), [painted(device_ms=60_000.0)])
    with pytest.raises(BudgetSpent, match="60 are used, and 60 more"):
        store.shots.add(tenant.id, spec_of(), price_device_s=60.0)
    store.shots.add(tenant.id, spec_of())
