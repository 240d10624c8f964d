"""Budgets: what a tenant, or one of its keys, may use. They are checked when a shot is accepted.

A picture counts from its shot's acceptance, and no longer when the shot fails or is cancelled. Device-seconds count
when a shot is done. Days and months are in UTC, by the database's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, union_all, update

from packshot.contract.webhooks import BudgetReached
from packshot.errors import BadInput, BudgetSpent
from packshot.store.audit_rows import Details, record
from packshot.store.database import Database, absent, insert, require_id
from packshot.store.outbox import publish
from packshot.store.periods import DAY_S, day_of, month_of, next_month, start_of
from packshot.store.schema import Now, api_key, shot, tenant
from packshot.store.schema_usage import budget, key_usage

BudgetName = Literal["images_per_day", "device_s_per_month", "live_shots"]
BUDGET_NAMES: tuple[BudgetName, ...] = get_args(BudgetName)

BUSY_RETRY_S = 10.0
"""Seconds until a retry when too many shots are live. Nobody knows when the next one ends."""

_BOUND_COSTS: tuple[BudgetName, ...] = ("images_per_day", "device_s_per_month")
"""The budgets that bound what a vendor is paid."""

NEEDS_BUDGET = (
    "an engine whose vendor is paid for each picture needs a budget of images a day or device-seconds a month, and "
    "neither the key nor its tenant has one"
)

_PUBLISHED = {"images_per_day": budget.c.images_told, "device_s_per_month": budget.c.device_told}
_WHAT = {"images_per_day": "images a day", "device_s_per_month": "device-seconds a month", "live_shots": "live shots"}


@dataclass(frozen=True)
class Spending:
    """A budget and what is spent of it.

    `owner_id` is the id of the tenant or key that has the budget. `window_s` and `resets_at` are its period's length in
    seconds and end, which comes in `resets_in_s` seconds; None for live shots, which have no period. `period` is the
    first day of the period.
    """

    owner_id: str
    name: BudgetName
    limit: float
    spent: float
    window_s: float | None = None
    resets_at: datetime | None = None
    resets_in_s: float | None = None
    period: int = 0

    @property
    def owner(self) -> Literal["tenant", "key"]:
        """Whether a tenant or a key has the budget."""
        return "tenant" if self.owner_id.startswith("tn_") else "key"

    @property
    def left(self) -> float:
        """What is left of it."""
        return max(0.0, self.limit - self.spent)


class Budgets:
    """Sets budgets, and sums up what is spent of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, owner_id: str, limits: Mapping[BudgetName, float | None]) -> None:
        """Set the budget of a tenant or key. A name that is missing or None has no limit.

        Raises BadInput `invalid_request` for a limit that is not above 0, and NotFound when there is no such owner.
        """
        wanted = {name: limits.get(name) for name in BUDGET_NAMES}
        for name, limit in wanted.items():
            if limit is not None and not 0 < limit < 2**53:
                rule = f"{name} must be above 0, got {limit:g}; to stop a key, revoke it, and null means no limit"
                raise BadInput("invalid_request", rule)
        with self._database.write() as connection:
            tenant_id = _tenant_of(connection, owner_id)
            details: Details = {str(name): limit for name, limit in wanted.items()}
            record(connection, tenant_id, "tenant.changed", owner_id, details=details)
            if all(limit is None for limit in wanted.values()):
                connection.execute(delete(budget).where(budget.c.owner_id == owner_id))
                return
            new = insert(connection, budget).values(owner_id=owner_id, tenant_id=tenant_id, **wanted)
            untold = {"images_told": None, "device_told": None}  # a new limit is told when it is reached
            changed = new.on_conflict_do_update(index_elements=[budget.c.owner_id], set_={**wanted, **untold})
            connection.execute(changed)

    def get(self, owner_id: str) -> list[Spending]:
        """Return what is spent of a tenant's or key's own budgets. Raises NotFound when there is no such owner."""
        with self._database.read() as connection:
            tenant_id = _tenant_of(connection, owner_id)
            return spendings(connection, tenant_id, None if owner_id == tenant_id else owner_id, of=owner_id)

    def bounds_costs(self, tenant_id: str, key_id: str | None) -> bool:
        """Whether a budget bounds what a vendor is paid for the tenant's requests with this key."""
        return any(spending.name in _BOUND_COSTS for spending in self.of(tenant_id, key_id))

    def of(self, tenant_id: str, key_id: str | None) -> list[Spending]:
        """Return what is spent of every budget that counts for a request of the tenant with this key."""
        with self._database.read() as connection:
            return spendings(connection, tenant_id, key_id)


def check_budgets(
    connection: Connection, tenant_id: str, key_id: str | None, images: int, price_device_s: float = 0.0
) -> BudgetSpent | None:
    """Return why a shot of `images` may not be accepted now, or None.

    `price_device_s` is what a vendor is paid for the shot, in device-seconds. Such a shot needs a budget that bounds
    it. The caller holds the lock of the tenant's row, so that no other shot is accepted meanwhile. It commits the
    transaction in either case: a budget that is reached is published in it.
    """
    found = spendings(connection, tenant_id, key_id)
    if price_device_s and not any(spending.name in _BOUND_COSTS for spending in found):
        return BudgetSpent("budget_needed", f"{NEEDS_BUDGET}; ask the operator for one, or use another engine")
    for spending in found:
        asks = {"images_per_day": images, "live_shots": 1, "device_s_per_month": price_device_s}
        asked = asks[spending.name]
        spent = spending.spent + asked
        # Measured device-seconds are known when a shot is done, so the shot that reaches the limit is the last one.
        if spent > spending.limit or (spending.name == "device_s_per_month" and spending.spent >= spending.limit):
            _publish_reached(connection, tenant_id, spending)
            return _refused(spending, asked)
        if spent == spending.limit and spending.name != "device_s_per_month":
            _publish_reached(connection, tenant_id, spending, spent)
    return None


def note_device_time(connection: Connection, shot_row: Row[Any]) -> None:
    """Publish the budgets of device-seconds that a shot which is done has used up. Its usage has been added."""
    owners = [shot_row.tenant_id, *([shot_row.key_id] if shot_row.key_id else [])]
    limited = select(budget.c.owner_id).where(budget.c.owner_id.in_(owners), budget.c.device_s_per_month.is_not(None))
    if connection.execute(limited.limit(1)).first() is None:
        return
    for spending in spendings(connection, shot_row.tenant_id, shot_row.key_id):
        if spending.name == "device_s_per_month" and spending.spent >= spending.limit:
            _publish_reached(connection, shot_row.tenant_id, spending)


def has_budget(tenant_id: ColumnElement[str], key_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a tenant or a key has a budget."""
    return select(budget.c.owner_id).where(budget.c.owner_id.in_((tenant_id, key_id))).exists()


def spendings(connection: Connection, tenant_id: str, key_id: str | None, *, of: str | None = None) -> list[Spending]:
    """What is spent of the budgets of a tenant and of one of its keys; with `of`, of this owner's alone."""
    owners = [of] if of is not None else [tenant_id, *([key_id] if key_id else [])]
    query = select(budget, Now().label("now")).where(budget.c.owner_id.in_(owners)).order_by(budget.c.owner_id)
    found: list[Spending] = []
    for row in connection.execute(query).all():
        today = day_of(row.now)
        month = month_of(today)
        spent = connection.execute(_spent(tenant_id, key_id if row.owner_id == key_id else None, today, month)).one()
        periods: dict[BudgetName, tuple[float, int, int | None]] = {
            "images_per_day": (spent.done + spent.under_way, today, today + 1),
            "device_s_per_month": (spent.device_s, month, next_month(today)),
            "live_shots": (spent.live, 0, None),
        }
        for name, (used, first, end) in periods.items():
            if (limit := row._mapping[name]) is not None:
                window_s = None if end is None else (end - first) * DAY_S
                resets_at = None if end is None else start_of(end)
                in_s = None if end is None else end * DAY_S - row.now
                found.append(Spending(row.owner_id, name, limit, used, window_s, resets_at, in_s, first))
    return found


def _spent(tenant_id: str, key_id: str | None, today: int, month: int) -> Any:
    """One statement, so that a shot that ends meanwhile is counted once."""
    # each status has its own index
    live = union_all(
        *(
            select(func.coalesce(shot.c.images, 1).label("images"), shot.c.key_id).where(
                shot.c.tenant_id == tenant_id, shot.c.status == status
            )
            for status in ("queued", "running")
        )
    ).subquery()
    its = [] if key_id is None else [live.c.key_id == key_id]
    table = key_usage.c
    used = [table.tenant_id == tenant_id] + ([] if key_id is None else [table.key_id == key_id])
    return select(
        select(func.count()).select_from(live).where(*its).scalar_subquery().label("live"),
        select(func.coalesce(func.sum(live.c.images), 0)).where(*its).scalar_subquery().label("under_way"),
        select(func.coalesce(func.sum(table.pictures), 0))
        .where(*used, table.day == today)
        .scalar_subquery()
        .label("done"),
        select(func.coalesce(func.sum(table.device_s), 0.0))
        .where(*used, table.day >= month)
        .scalar_subquery()
        .label("device_s"),
    )


def _tenant_of(connection: Connection, owner_id: str) -> str:
    require_id(owner_id, "tenant or key")
    is_tenant = owner_id.startswith("tn_")
    query = select(tenant.c.id) if is_tenant else select(api_key.c.tenant_id)
    found = connection.execute(query.where((tenant if is_tenant else api_key).c.id == owner_id)).scalar()
    if found is None:
        raise absent("tenant or key", owner_id)
    return str(found)


def _publish_reached(connection: Connection, tenant_id: str, reached: Spending, spent: float | None = None) -> None:
    column = _PUBLISHED.get(reached.name)
    if column is None or reached.resets_at is None:
        return
    mine = (budget.c.owner_id == reached.owner_id) & column.is_distinct_from(reached.period)
    if connection.execute(update(budget).where(mine).values({column.name: reached.period})).rowcount == 0:
        return
    event = BudgetReached(
        owner=reached.owner,
        owner_id=reached.owner_id,
        budget="images_per_day" if reached.name == "images_per_day" else "device_s_per_month",
        limit=reached.limit,
        spent=reached.spent if spent is None else spent,
        resets_at=reached.resets_at,
    )
    publish(connection, tenant_id, event)


def _refused(spending: Spending, asked: float) -> BudgetSpent:
    more = f", and {asked:g} more were asked for" if asked else ""
    rule = (
        f"this {spending.owner} may have {spending.limit:g} {_WHAT[spending.name]}, {spending.spent:g} are used{more}"
    )
    if spending.resets_at is None or spending.resets_in_s is None:
        return BudgetSpent("budget_spent", f"{rule}; wait until a shot ends", retry_after_s=BUSY_RETRY_S)
    return BudgetSpent(
        "budget_spent",
        f"{rule}; the budget resets at {spending.resets_at:%Y-%m-%dT%H:%M:%SZ}, or ask the operator for more",
        retry_after_s=spending.resets_in_s,
    )
