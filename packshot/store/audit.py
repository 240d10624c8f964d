"""The audit trail of tenants: read, check and sweep it, and chain its rows.

Rows are written without a lock (audit_rows.py). They become a chain in batches, at the leader's sweep and before each
export: each row gets the next number of its tenant, and the sha256 of the line before. Who changes, removes or inserts
a chained row breaks the chain there, and `Audit.check` finds it. Who may write to the whole database can compute the
chain anew; only a copy of the last line elsewhere shows that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from packshot.contract.audit import FIRST_SHA256, AuditAction, line_json, line_sha256
from packshot.contract.base import iso
from packshot.store.audit_reads import AuditReads
from packshot.store.audit_rows import Details, record
from packshot.store.database import Database, absent, insert, moment, require_id
from packshot.store.schema import Now, tenant
from packshot.store.schema_audit import audit_chain, audit_event

CHAINED_AT_ONCE = 500
"""Rows of one transaction."""

PAGE = 1_000
"""Rows of one query."""

DAY_S = 24 * 3600.0

_LINK = (
    update(audit_event)
    .where(audit_event.c.id == bindparam("row"))
    .values(number=bindparam("place"), previous_sha256=bindparam("before"))
)


@dataclass(frozen=True)
class AuditFilter:
    """Which lines are wanted: from `after` on, before `before`, about the object `object_id`. None selects all."""

    after: datetime | None = None
    before: datetime | None = None
    object_id: str | None = None


EVERY_LINE = AuditFilter()


@dataclass(frozen=True)
class CheckedChain:
    """What a check found. `lines` are in order, the first has the number `first`, and `sha256` is that of the last.

    `broken_at` is the number of the first line that does not fit the chain, or that is missing; None when all fit.
    """

    lines: int
    first: int
    sha256: str
    broken_at: int | None


class Audit:
    """The audit trail. `days` is how long a line is kept, in days; 0 = for ever. `reads` takes the lines of reads."""

    def __init__(self, database: Database, *, days: float) -> None:
        self._database = database
        self._days = days
        self.reads = AuditReads(database)

    def record(self, tenant_id: str, action: AuditAction, object_id: str, *, details: Details | None = None) -> None:
        """Add an event that changes nothing else, such as a check of a file, in a transaction of its own."""
        with self._database.write() as connection:
            record(connection, tenant_id, action, object_id, details=details)

    def chain(self, tenant_id: str) -> int:
        """Link the rows that the tenant's chain does not hold yet, with the reads that this process noted.

        Returns how many. Calls may run at the same time.
        """
        self.reads.flush()
        linked = 0
        while some := self._chain_some(tenant_id):
            linked += some
            if some < CHAINED_AT_ONCE:
                break
        return linked

    def chain_all(self) -> int:
        """Link the rows of all tenants. Returns how many."""
        with self._database.read() as connection:
            waiting = select(audit_event.c.tenant_id).where(audit_event.c.number.is_(None)).distinct()
            tenants = connection.execute(waiting).scalars().all()
        return sum(self.chain(tenant_id) for tenant_id in tenants)

    def _chain_some(self, tenant_id: str) -> int:
        with self._database.write() as connection:
            return link(connection, tenant_id)

    def page(
        self, tenant_id: str, wanted: AuditFilter = EVERY_LINE, *, after_number: int = 0, limit: int = PAGE
    ) -> list[tuple[int, bytes]]:
        """Return the numbers and the lines of the chain after `after_number`, in their order, at most `limit`."""
        c = audit_event.c
        query = select(audit_event).where(c.tenant_id == tenant_id, c.number > after_number)
        if wanted.after is not None:
            query = query.where(c.at >= wanted.after.timestamp())
        if wanted.before is not None:
            query = query.where(c.at < wanted.before.timestamp())
        if wanted.object_id is not None:
            query = query.where(c.object_id == wanted.object_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(c.number).limit(limit)).all()
        return [(row.number, _line(row, row.number, row.previous_sha256)) for row in rows]

    def export(self, tenant_id: str, wanted: AuditFilter = EVERY_LINE, *, after_number: int = 0) -> Iterator[bytes]:
        """Yield the tenant's lines, oldest first, each with its line break. It holds one page at a time.

        Raises NotFound when there is no such tenant.
        """
        self.require_tenant(tenant_id)
        self.chain(tenant_id)
        while page := self.page(tenant_id, wanted, after_number=after_number):
            yield from (line for _, line in page)
            after_number = page[-1][0]
            if len(page) < PAGE:
                return

    def count(self, tenant_id: str) -> int:
        """Chain the tenant's rows and return how many lines its chain has. Raises NotFound for an unknown tenant."""
        self.require_tenant(tenant_id)
        self.chain(tenant_id)
        kept = select(audit_chain.c.number - audit_chain.c.swept).where(audit_chain.c.tenant_id == tenant_id)
        with self._database.read() as connection:
            return connection.execute(kept).scalar() or 0

    def check(self, tenant_id: str) -> CheckedChain:
        """Compute the tenant's chain anew and compare it with what is stored. Raises NotFound for an unknown tenant."""
        self.require_tenant(tenant_id)
        self.chain(tenant_id)
        with self._database.read() as connection:
            head = connection.execute(select(audit_chain).where(audit_chain.c.tenant_id == tenant_id)).first()
        if head is None:
            return CheckedChain(0, 1, FIRST_SHA256, None)
        expected, before, lines = int(head.swept) + 1, None, 0
        while page := self._rows(tenant_id, expected - 1, head.number):
            for row in page:
                if row.number != expected or before not in (None, row.previous_sha256):
                    return CheckedChain(lines, head.swept + 1, before or FIRST_SHA256, expected)
                before = line_sha256(_line(row, row.number, row.previous_sha256))
                expected, lines = expected + 1, lines + 1
        sha256 = before or str(head.sha256)
        intact = expected == head.number + 1 and sha256 == head.sha256
        return CheckedChain(lines, head.swept + 1, sha256, None if intact else min(expected, head.number))

    def _rows(self, tenant_id: str, after: int, until: int) -> list[Row[Any]]:
        c = audit_event.c
        query = select(audit_event).where(c.tenant_id == tenant_id, c.number > after, c.number <= until)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(c.number).limit(PAGE)).all())

    def require_tenant(self, tenant_id: str) -> None:
        """Raise NotFound when there is no such tenant."""
        require_id(tenant_id, "tenant")
        with self._database.read() as connection:
            if connection.execute(select(tenant.c.id).where(tenant.c.id == tenant_id)).first() is None:
                raise absent("tenant", tenant_id)

    def sweep(self) -> int:
        """Delete the lines whose time has ended, from the start of each chain. Returns how many.

        The lines of a tenant under a legal hold are kept.
        """
        if not self._days:
            return 0
        c, deleted = audit_event.c, 0
        cutoff = Now() - self._days * DAY_S
        with self._database.read() as connection:
            old = select(audit_chain.c.tenant_id).join(tenant, tenant.c.id == audit_chain.c.tenant_id)
            oldest = (c.tenant_id == audit_chain.c.tenant_id) & (c.number == audit_chain.c.swept + 1) & (c.at < cutoff)
            old = old.where(tenant.c.legal_hold.is_(None), select(c.id).where(oldest).exists())
            tenants = connection.execute(old).scalars().all()
        for tenant_id in tenants:
            while some := self._sweep_some(tenant_id):
                deleted += some
        return deleted

    def _sweep_some(self, tenant_id: str) -> int:
        """Delete the oldest lines up to the first that is to be kept, at most a page."""
        c, head = audit_event.c, audit_chain.c.tenant_id == tenant_id
        with self._database.write() as connection:
            swept = connection.execute(select(audit_chain.c.swept).where(head).with_for_update()).scalar()
            mine = (c.tenant_id == tenant_id) & (c.number > (swept or 0))
            query = select(c.number, (c.at < Now() - self._days * DAY_S).label("old")).where(mine)
            last = None
            for row in connection.execute(query.order_by(c.number).limit(PAGE)):
                if not row.old:
                    break
                last = row.number
            if last is None:
                return 0
            gone = connection.execute(delete(audit_event).where(mine, c.number <= last)).rowcount
            connection.execute(update(audit_chain).where(head).values(swept=last))
        return gone


def link(connection: Connection, tenant_id: str) -> int:
    """Link the tenant's oldest rows that are not in its chain, at most CHAINED_AT_ONCE. Returns how many.

    It locks the chain until the transaction ends.
    """
    unchained = (audit_event.c.tenant_id == tenant_id) & audit_event.c.number.is_(None)
    head = audit_chain.c.tenant_id == tenant_id
    first = insert(connection, audit_chain).values(tenant_id=tenant_id, number=0, sha256=FIRST_SHA256, swept=0)
    connection.execute(first.on_conflict_do_nothing())
    last = connection.execute(select(audit_chain).where(head).with_for_update()).one()
    query = select(audit_event).where(unchained).order_by(audit_event.c.id).limit(CHAINED_AT_ONCE)
    rows = connection.execute(query).all()
    if not rows:
        return 0
    number, sha256, links = int(last.number), str(last.sha256), []
    for row in rows:
        number += 1
        links.append({"row": row.id, "place": number, "before": sha256})
        sha256 = line_sha256(_line(row, number, sha256))
    connection.execute(_LINK, links)
    connection.execute(update(audit_chain).where(head).values(number=number, sha256=sha256))
    return len(rows)


def delete_trail(database: Database, tenant_id: str) -> int:
    """Delete a tenant's trail in small transactions, and its chain with the last. Returns how many lines it had."""
    deleted = 0
    while True:
        with database.write() as connection:
            some = select(audit_event.c.id).where(audit_event.c.tenant_id == tenant_id).limit(PAGE)
            gone = connection.execute(delete(audit_event).where(audit_event.c.id.in_(some))).rowcount
            deleted += gone
            if gone < PAGE:
                connection.execute(delete(audit_chain).where(audit_chain.c.tenant_id == tenant_id))
                return deleted


def _line(row: Row[Any], number: int, previous_sha256: str) -> bytes:
    values: Mapping[str, object] = {
        "number": number,
        "at": iso(moment(row.at)),
        "tenant": row.tenant_id,
        "by": row.by,
        "action": row.action,
        "object": row.object_id,
        "request": row.request_id,
        "details": row.details,
        "models": row.models,
        "previous_sha256": previous_sha256,
    }
    return line_json(values)
