"""The order in which waiting shots are claimed. `claim` and every reported position use this one query.

Interactive shots come before catalogue shots. Within each priority, the tenant with the fewest running shots for its
weight is next, with its oldest shot. Ageing: when a tenant's oldest catalogue shot has waited `AGEING_S` seconds and
none of its catalogue shots was claimed in that time, that one shot counts as interactive. No shot starves, and ten
thousand aged shots do not delay a person.

The query reads the heads of the tenants' lines and not whole lines. The first N shots of the queue are among the first
N shots of those N tenants whose first shots come first: a shot comes after its tenant's earlier ones.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    Integer,
    ScalarSelect,
    Select,
    String,
    Subquery,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)

from packshot.store.schema import Now, shot, tenant

AGEING_S = 120.0

# In the text of the statement and not parameters: only so does a database see that a partial index has the rows.
_QUEUED, _RUNNING = literal_column("'queued'", String), literal_column("'running'", String)
_INTERACTIVE, _CATALOGUE = literal_column("'interactive'", String), literal_column("'catalogue'", String)


def claimable(row: FromClause) -> ColumnElement[bool]:
    """The condition that a worker may claim the row: it is queued and due, or it runs and its lease has expired."""
    queued = and_(row.c.status == "queued", row.c.due_at <= Now())
    return or_(queued, and_(row.c.status == "running", row.c.lease_until <= Now()))


@cache  # building the query takes longer than running it
def queue_order(dialect: str, tenants: int, each: int) -> Subquery:
    """A subquery of the front of the queue: claimable shots with `seq`, `position` (0 = next) and `nth`.

    It reads the lines of the `tenants` whose first shots come first, and of each priority the first `each` shots. `nth`
    numbers the shots of one line from 1. The positions before the first one with `nth` ≥ `each` are exact, but never
    those from `tenants` on. `dialect` is the database's name in SQLAlchemy.
    """
    running = select(shot.c.tenant_id, shot.c.seq, shot.c.priority, shot.c.created_at, shot.c.lease_until)
    runs = running.where(shot.c.status == _RUNNING).cte("runs")
    expired = select(runs.c.tenant_id, runs.c.seq, runs.c.priority, runs.c.created_at)
    expired = expired.where(runs.c.lease_until <= _now())
    busy = select(runs.c.tenant_id, func.count().label("running")).where(runs.c.lease_until > _now())
    busy_tenants = busy.group_by(runs.c.tenant_id).cte("busy")
    heads = _ordered("heads", union_all(*_heads(_waiting_tenants(dialect), 1, dialect), expired), busy_tenants)
    if tenants == each == 1:
        return heads
    next_tenants = select(heads.c.tenant_id).where(heads.c.nth_of_tenant == 1)
    chosen = next_tenants.order_by(heads.c.position).limit(_number(tenants)).cte("next_tenants")
    own_expired = expired.where(runs.c.tenant_id.in_(select(chosen.c.tenant_id)))
    return _ordered("queue_order", union_all(*_heads(chosen, each, dialect), own_expired), busy_tenants)


def due_count(connection: Connection, most: int) -> int:
    """Count the shots that a worker could claim now, to `most` at most."""
    queued = select(shot.c.seq).where(shot.c.status == _QUEUED, shot.c.due_at <= _now()).limit(most).subquery()
    expired = select(shot.c.seq).where(shot.c.status == _RUNNING, shot.c.lease_until <= _now()).limit(most).subquery()
    counted = [select(func.count()).select_from(rows).scalar_subquery() for rows in (queued, expired)]
    return min(most, sum(connection.execute(select(*counted)).one()))


def _number(value: int) -> ColumnElement[int]:
    """A number in the text of the statement: for a LIMIT that is a parameter, PostgreSQL would plan for many rows."""
    return literal_column(str(value), Integer)


def _now() -> ColumnElement[float]:
    """The database's clock, read once for the query. PostgreSQL uses an index for a comparison with this form only."""
    return select(Now()).scalar_subquery()


def _waiting_tenants(dialect: str) -> CTE:
    """The tenants that have queued shots. The recursion skips from one to the next in the index of their lines."""
    if dialect == "sqlite":  # it would use another index; one machine has few tenants, so all of them do as well
        return select(tenant.c.id.label("tenant_id")).cte("waiting_tenants")
    first = shot.alias("first")
    found = select(_in_line(select(first.c.tenant_id), first).scalar_subquery().label("tenant_id"))
    tenants = found.cte("waiting_tenants", recursive=True)
    after = select(shot.c.tenant_id).where(shot.c.tenant_id > tenants.c.tenant_id)
    following = select(_in_line(after, shot).correlate(tenants).scalar_subquery())
    return tenants.union_all(following.where(tenants.c.tenant_id.is_not(None)))


def _in_line(rows: Select[Any], line: FromClause, first: int = 1) -> Select[Any]:
    """The first queued shots in the order of their index, (tenant, priority, seq).

    Only that index has this order, which keeps the database from walking through shots that ended long ago in another.
    """
    order = line.c.tenant_id, line.c.priority, line.c.seq
    return rows.where(line.c.status == _QUEUED).order_by(*order).limit(_number(first))


def _heads(tenants: CTE, first: int, dialect: str) -> list[Select[Any]]:
    """The `first` shots that are queued and due, of each of the tenants and each priority."""
    # The table has these two priorities only. With `=`, other indexes would have the order of the result too.
    line = shot.alias("line")
    each = {"interactive": line.c.priority >= _INTERACTIVE, "catalogue": line.c.priority <= _CATALOGUE}
    found = []
    for priority, of_priority in each.items():
        due = select(line.c.seq).where(line.c.tenant_id == tenants.c.tenant_id, of_priority, line.c.due_at <= _now())
        due = _in_line(due, line, first)
        if dialect == "sqlite":  # it has no LATERAL
            one = shot.alias("one")
            rows = select(one.c.tenant_id, one.c.seq, one.c.priority, one.c.created_at)
            found.append(rows.select_from(tenants.join(one, one.c.seq.in_(due.correlate(tenants)))))
        else:
            head = due.add_columns(line.c.priority, line.c.created_at).lateral(f"head_{priority}")
            rows = select(tenants.c.tenant_id, head.c.seq, head.c.priority, head.c.created_at)
            found.append(rows.select_from(tenants.join(head, true())))
    return found


def _last_catalogue_claim(tenant_id: ColumnElement[str]) -> ScalarSelect[float]:
    """When a catalogue shot of the tenant was claimed last, in the order of the index of these claims."""
    claimed = shot.alias("claimed")
    # With `=` for the tenant, another index would have the order of the result too.
    own = claimed.c.tenant_id >= tenant_id, claimed.c.tenant_id <= tenant_id
    claims = select(claimed.c.claimed_at).where(*own, claimed.c.priority == _CATALOGUE)
    newest = claims.where(claimed.c.claimed_at.is_not(None))
    newest = newest.order_by(claimed.c.tenant_id.desc(), claimed.c.claimed_at.desc()).limit(_number(1))
    return newest.scalar_subquery()


def _ordered(name: str, rows: CompoundSelect[Any], busy: CTE) -> Subquery:
    """Number claimable shots in the order of claims. The rows have tenant_id, seq, priority and created_at."""
    waiting = rows.subquery(f"{name}_rows")
    w = waiting.c
    nth_of_kind = func.row_number().over(partition_by=(w.tenant_id, w.priority), order_by=w.seq)
    numbered = select(w.seq, w.tenant_id, w.priority, w.created_at, nth_of_kind.label("nth"))
    n = numbered.subquery(f"{name}_numbered").c
    since = _now() - AGEING_S
    promoted = and_(
        n.nth == 1, n.created_at < since, func.coalesce(_last_catalogue_claim(n.tenant_id) <= since, true())
    )
    rank = case((n.priority == _INTERACTIVE, 0), (promoted, 0), else_=1)
    ranked = select(n.seq, n.tenant_id, n.nth, rank.label("rank")).subquery(f"{name}_ranked")
    r = ranked.c
    nth_of_tenant = func.row_number().over(partition_by=r.tenant_id, order_by=(r.rank, r.seq))
    # `turn` is how many of the tenant's shots run once this one is claimed, for its weight. Sorting by it alternates
    # between tenants.
    turn = (func.coalesce(busy.c.running, 0) + nth_of_tenant) / tenant.c.weight
    turns = (
        select(r.seq, r.tenant_id, r.nth, r.rank, nth_of_tenant.label("nth_of_tenant"), turn.label("turn"))
        .join(tenant, tenant.c.id == r.tenant_id)
        .outerjoin(busy, busy.c.tenant_id == r.tenant_id)
        .subquery(f"{name}_turns")
    )
    t = turns.c
    position = func.row_number().over(order_by=(t.rank, t.turn, t.seq)) - 1
    return select(t.seq, t.tenant_id, t.nth, t.nth_of_tenant, position.label("position")).subquery(name)
