"""Pages of a tenant's rows, newest first."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, select, tuple_

from packshot.errors import BadInput
from packshot.store.database import is_id

MAX_PAGE = 200

_TIME = re.compile(r"\d{1,12}(\.\d{1,9})?")


def page_of(
    connection: Connection,
    table: Table,
    tenant_id: str,
    cursor: str | None,
    limit: int,
    *conditions: ColumnElement[bool],
) -> tuple[list[Row[Any]], str | None]:
    """A page of a tenant's rows, newest first, and the cursor of the next page, or None on the last page.

    `table` has the columns `id`, `tenant_id` and `created_at`. `cursor` comes from the previous page; it names a time
    and an id, so it stays valid when rows are deleted. `limit` is clamped to 1..`MAX_PAGE`. `conditions` select rows.
    Raises BadInput when the cursor is not one.
    """
    limit = min(max(limit, 1), MAX_PAGE)
    place = tuple_(table.c.created_at, table.c.id)
    query = select(table).where(table.c.tenant_id == tenant_id, *conditions)
    query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(place < tuple_(*_place_of(cursor)))
    rows = list(connection.execute(query))
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], f"{last.created_at!r}:{last.id}" if last else None


def _place_of(cursor: str) -> tuple[float, str]:
    """The time and the id that a cursor names."""
    created_at, _, row_id = cursor.partition(":")
    if not _TIME.fullmatch(created_at) or not is_id(row_id):
        rule = f"cursor must be a previous page's next_cursor, got {cursor[:80]!r}; start without one"
        raise BadInput("invalid_request", rule)
    return float(created_at), row_id
