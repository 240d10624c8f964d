"""What projects and styles share: rows of one tenant with a unique name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, Table, exc, select

from packshot.errors import Conflict
from packshot.store.database import absent, is_id, require_id

IDS_AT_ONCE = 1_000
"""Ids in one query."""


def own_row(connection: Connection, table: Table, tenant_id: str, row_id: str, *, lock: bool = False) -> Row[Any]:
    """Read a tenant's row, and lock it with `lock`. Raises NotFound when it does not exist."""
    require_id(row_id, table.name)
    query = select(table).where(table.c.id == row_id, table.c.tenant_id == tenant_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise absent(table.name, row_id)
    return row


def known_ids(connection: Connection, table: Table, tenant_id: str, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are rows of the tenant."""
    found: set[str] = set()
    wanted = sorted(one for one in set(ids) if is_id(one))
    for start in range(0, len(wanted), IDS_AT_ONCE):
        some = wanted[start : start + IDS_AT_ONCE]
        query = select(table.c.id).where(table.c.tenant_id == tenant_id, table.c.id.in_(some))
        found.update(connection.execute(query).scalars())
    return found


@contextmanager
def unique_name(table: Table, name: str) -> Iterator[None]:
    """Convert the database's refusal of a second row with this name. Raises Conflict `name_taken`."""
    try:
        yield
    except exc.IntegrityError as error:
        rule = f"the names of a tenant's {table.name}s must differ, but {name!r} is one already; choose another name"
        raise Conflict("name_taken", rule) from error
