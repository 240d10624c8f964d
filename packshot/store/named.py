"""What projects and styles share: rows of one tenant with a unique name, listed newest first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, Table, exc, select, tuple_

from packshot.errors import BadInput, Conflict
from packshot.store.database import absent, is_id, require_id


def own_row(connection: Connection, table: Table, tenant_id: str, row_id: str, *, lock: bool = False) -> Row[Any]:
    """Read a tenant's row, and lock it with `lock`. Raises NotFound when it does not exist."""
    require_id(row_id, table.name)
    query = select(table).where(table.c.id == row_id, table.c.tenant_id == tenant_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise absent(table.name, row_id)
    return row


def page_of(
    connection: Connection, table: Table, tenant_id: str, cursor: str | None, limit: int
) -> tuple[list[Row[Any]], str | None]:
    """A page of a tenant's rows, newest first, and the cursor of the next page, or None on the last page.

    `cursor` comes from the previous page. `limit` is at least 1. Raises BadInput when the cursor is unknown.
    """
    mine = select(table).where(table.c.tenant_id == tenant_id)
    place = tuple_(table.c.created_at, table.c.id)
    query = mine.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        last = connection.execute(mine.where(table.c.id == cursor)).first() if is_id(cursor) else None
        if last is None:
            rule = f"cursor must be a previous page's next_cursor, got {cursor[:80]!r}; start without one"
            raise BadInput("invalid_request", rule)
        query = query.where(place < tuple_(last.created_at, last.id))
    rows = list(connection.execute(query))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


@contextmanager
def unique_name(table: Table, name: str) -> Iterator[None]:
    """Convert the database's refusal of a second row with this name. Raises Conflict `name_taken`."""
    try:
        yield
    except exc.IntegrityError as error:
        rule = f"the names of a tenant's {table.name}s must differ, but {name!r} is one already; choose another name"
        raise Conflict("name_taken", rule) from error
