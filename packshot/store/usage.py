"""Usage: what a tenant's shots made, added up by day, key and SKU in the transaction that ends a shot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import Column, Connection, Row, Table, func, select

from packshot.errors import BadInput
from packshot.store.database import Database, insert
from packshot.store.periods import date_of, day_of, month_of, number_of
from packshot.store.schema import Now
from packshot.store.schema_usage import key_usage, sku_usage

UsageGroup = Literal["sku", "key", "day"]


@dataclass(frozen=True)
class Used:
    """What the shots of one SKU, key or day made. `name` is None for shots without a SKU or key, and in a total."""

    name: str | None
    shots: int
    pictures: int
    device_s: float


@dataclass(frozen=True)
class UsagePage:
    """A page of usage, by name, from the day `since` to `until`, both inclusive. `total` is that of all pages."""

    since: date
    until: date
    rows: list[Used]
    total: Used
    next_cursor: str | None


class Usage:
    """What each tenant has used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        tenant_id: str,
        group: UsageGroup,
        *,
        since: date | None = None,
        until: date | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> UsagePage:
        """Return a page of usage. The days default to the present month.

        `cursor` is the `next_cursor` of the previous page. Raises BadInput when `until` comes before `since`.
        """
        table = sku_usage if group == "sku" else key_usage
        name: Column[Any] = table.c.sku if group == "sku" else table.c.key_id if group == "key" else table.c.day
        with self._database.read() as connection:
            today = day_of(connection.execute(select(Now())).scalar_one())
            last = today if until is None else number_of(until)
            first = month_of(min(last, today)) if since is None else number_of(since)
            if last < first:
                rule = f"to must be {date_of(first)} or later, got {date_of(last)}; exchange from and to"
                raise BadInput("invalid_request", rule)
            mine = (table.c.tenant_id == tenant_id, table.c.day.between(first, last))
            total = connection.execute(select(*_sums(table)).where(*mine)).one()
            query = select(name.label("name"), *_sums(table)).where(*mine).group_by(name).order_by(name)
            if cursor is not None:
                query = query.where(name > _place(cursor, group))
            rows = connection.execute(query.limit(limit + 1)).all()
        page = rows[:limit]
        return UsagePage(
            since=date_of(first),
            until=date_of(last),
            rows=[_used(str(date_of(row.name)) if group == "day" else row.name or None, row) for row in page],
            total=_used(None, total),
            next_cursor=f"={page[-1].name}" if len(rows) > limit else None,
        )


def add_usage(connection: Connection, shot: Row[Any], pictures: int, device_s: float) -> None:
    """Add a shot that is done to the day on which it ended. `shot` is its row.

    Call it last in the transaction: until that ends, it holds the rows of the shot's day, key and SKU.
    """
    _add(
        connection,
        shot.tenant_id,
        day_of(shot.finished_at),
        {"shots": 1, "pictures": pictures, "device_s": device_s},
        key_id=shot.key_id or "",
        sku=shot.sku or "",
    )


def add_device_time(connection: Connection, tenant_id: str, key_id: str | None, device_s: float, day: int) -> None:
    """Add seconds of a device that made no pictures, such as a training's, to a day. Call it last, as `add_usage`."""
    sums = {"shots": 0, "pictures": 0, "device_s": device_s}
    _add(connection, tenant_id, day, sums, key_id=key_id or "", sku="")


def _add(connection: Connection, tenant_id: str, day: int, sums: Mapping[str, float], *, key_id: str, sku: str) -> None:
    of_day = {"tenant_id": tenant_id, "day": day}
    for table, group in ((key_usage, {"key_id": key_id}), (sku_usage, {"sku": sku})):
        row = insert(connection, table).values(**of_day, **group, **sums)
        added = {name: table.c[name] + row.excluded[name] for name in sums}
        connection.execute(row.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=added))


def _sums(table: Table) -> list[Any]:
    return [func.coalesce(func.sum(table.c[name]), 0).label(name) for name in ("shots", "pictures", "device_s")]


def _used(name: str | None, row: Row[Any]) -> Used:
    return Used(name, int(row.shots), int(row.pictures), float(row.device_s))


def _place(cursor: str, group: UsageGroup) -> str | int:
    place = cursor.removeprefix("=")
    if (
        cursor == place
        or "\x00" in place
        or (group == "day" and not (place.isascii() and place.isdigit() and len(place) < 9))
    ):
        rule = f"cursor must be a previous page's next_cursor, got {cursor[:80]!r}; start without one"
        raise BadInput("invalid_request", rule)
    return int(place) if group == "day" else place
