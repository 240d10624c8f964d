"""The tables of usage, which are added up when a shot is done, and of budgets."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Integer, String, Table

from packshot.store.schema import metadata

_ID = String(80)


def _tenant() -> Column[str]:
    return Column("tenant_id", _ID, ForeignKey("tenant.id"), primary_key=True)


def _sums() -> list[Column[int] | Column[float]]:
    return [
        Column("shots", BigInteger, nullable=False),
        Column("pictures", BigInteger, nullable=False),
        Column("device_s", Double, nullable=False),
    ]


def _day() -> Column[int]:
    return Column("day", Integer, primary_key=True, autoincrement=False)  # days since 1970, UTC


# The shots that were done on a day, by the key that they came with; "" = without a key.
key_usage = Table("key_usage", metadata, _tenant(), _day(), Column("key_id", _ID, primary_key=True), *_sums())

# The same shots by SKU; "" = without one.
sku_usage = Table("sku_usage", metadata, _tenant(), _day(), Column("sku", String(100), primary_key=True), *_sums())

# What a tenant, or one of its keys, may use. NULL = no limit.
budget = Table(
    "budget",
    metadata,
    Column("owner_id", _ID, primary_key=True),  # a tenant's or a key's
    Column("tenant_id", _ID, ForeignKey("tenant.id"), nullable=False, index=True),
    Column("images_per_day", BigInteger),
    Column("device_s_per_month", Double),
    Column("live_shots", BigInteger),
    # The periods for which `budget.reached` was published: the first day of each, in days since 1970.
    Column("images_told", Integer),
    Column("device_told", Integer),
)
