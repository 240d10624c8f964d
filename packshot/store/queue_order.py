"""The order in which waiting shots are claimed. `claim` and every reported position use this one query.

Interactive shots come before catalogue shots. Within each priority the tenants share the workers by weight
(start-time fair queueing: Goyal, Vin and Cheng 1996). Each claim has a turn, and the line with the smallest turn is
next, with its oldest shot:

    turn of a line = the larger of: turn of its last claim + work of that shot / weight of the tenant
                                    turn of the last claim of any line of this priority

So each tenant gets work for its weight, however many shots run at once. A tenant that had nothing waiting has saved up
nothing. Ageing: when a tenant's oldest catalogue shot has waited `AGEING_S` seconds and none of its catalogue shots was
claimed in that time, that one shot goes first. No shot starves, and ten thousand aged shots do not delay a person.

The query reads the heads of the tenants' lines and not whole lines. The first N shots of the queue are among the first
N shots of those N tenants whose first shots come first: a shot comes after its tenant's earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    Connection,
    Double,
    FromClause,
    Integer,
    ScalarSelect,
    Select,
    String,
    Subquery,
    and_,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)

from packshot.contract.status import PRIORITIES, SHOT_KINDS, Priority, ShotKind
from packshot.store.schema import Now, shot, tenant

AGEING_S = 120.0


class Engines(NamedTuple):
    """The engines whose shots may be claimed, by priority. Work that needs no engine may be claimed in any case."""

    people: tuple[str, ...]
    catalogue: tuple[str, ...]

    def of(self, priority: Priority) -> tuple[str, ...]:
        """The engines of this priority."""
        return self.people if priority == "interactive" else self.catalogue


PICTURE_ROW_STEPS = 5
"""Row-steps that take as long as the begin and decode of a picture (`picture_s` / `row_step_s` of a usual profile)."""

# In the text of the statement and not parameters: only so does a database see that a partial index has the rows.
_QUEUED, _RUNNING = literal_column("'queued'", String), literal_column("'running'", String)
_INTERACTIVE, _CATALOGUE = literal_column("'interactive'", String), literal_column("'catalogue'", String)


def claimable(row: FromClause, kinds: Sequence[ShotKind] = SHOT_KINDS) -> ColumnElement[bool]:
    """The condition that a worker may claim the row: it is queued and due, or it runs and its lease has expired."""
    queued = and_(row.c.status == "queued", due_at(row) <= Now())
    return and_(of_known_kind(row, kinds), or_(queued, and_(row.c.status == "running", lease_end(row) <= Now())))


def due_at(row: FromClause) -> ColumnElement[float]:
    """When a queued row may be claimed, whatever its kind is."""
    return func.coalesce(row.c.ready_at, row.c.due_at)


def lease_end(row: FromClause) -> ColumnElement[float]:
    """When the lease of a running row ends, whatever its kind is."""
    return func.coalesce(row.c.ready_at, row.c.lease_until)


def of_known_kind(row: FromClause, kinds: Sequence[ShotKind] = SHOT_KINDS) -> ColumnElement[bool]:
    """Whether this code can do the row's work, or its work is of these `kinds`. Newer code may know other kinds."""
    return or_(row.c.kind.is_(None), row.c.kind.in_(kinds))


@cache  # building the query takes longer than running it
def queue_order(
    dialect: str,
    tenants: int,
    each: int,
    people_only: bool = False,
    kinds: tuple[ShotKind, ...] = SHOT_KINDS,
    engines: Engines | None = None,
) -> Subquery:
    """A subquery of the front of the queue: claimable shots with `seq`, `position` (0 = next), `turn` and `nth`.

    It reads the lines of the `tenants` whose first shots come first, and of each priority the first `each` shots. `nth`
    numbers the shots of one line from 1. The positions before the first one with `nth` ≥ `each` are exact, but never
    those from `tenants` on. `dialect` is the database's name in SQLAlchemy. `people_only` leaves catalogue shots out,
    and `kinds` all rows of other kinds. `engines` leaves out the shots of other engines; None = none of them.
    """
    priorities = PRIORITIES[:1] if people_only else PRIORITIES
    columns = shot.c.tenant_id, shot.c.seq, shot.c.priority, shot.c.created_at, _work(shot).label("work")
    mine = [shot.c.priority.in_(priorities), of_known_kind(shot, kinds)]
    if engines is not None:
        own = (and_(shot.c.priority == one, shot.c.engine.in_(engines.of(one))) for one in priorities)
        mine.append(or_(shot.c.engine.is_(None), *own))
    ended = shot.c.status == _RUNNING, lease_end(shot) <= _now()
    ended_leases = select(*columns).where(*ended, *mine).cte("ended_leases")
    expired = select(ended_leases)
    heads = _ordered(
        "heads", union_all(*_heads(_waiting_tenants(dialect), 1, dialect, priorities, kinds, engines), expired)
    )
    if tenants == each == 1:
        return heads
    next_tenants = select(heads.c.tenant_id).where(heads.c.nth_of_tenant == 1)
    chosen = next_tenants.order_by(heads.c.position).limit(_number(tenants)).cte("next_tenants")
    own_expired = expired.where(ended_leases.c.tenant_id.in_(select(chosen.c.tenant_id)))
    return _ordered("queue_order", union_all(*_heads(chosen, each, dialect, priorities, kinds, engines), own_expired))


def due_count(connection: Connection, most: int) -> int:
    """Count the shots that a worker could claim now, to `most` at most."""
    mine = of_known_kind(shot)
    queued = select(shot.c.seq).where(shot.c.status == _QUEUED, due_at(shot) <= _now(), mine).limit(most).subquery()
    expired = (
        select(shot.c.seq).where(shot.c.status == _RUNNING, lease_end(shot) <= _now(), mine).limit(most).subquery()
    )
    counted = [select(func.count()).select_from(rows).scalar_subquery() for rows in (queued, expired)]
    return min(most, sum(connection.execute(select(*counted)).one()))


def people_wait(connection: Connection) -> bool:
    """Whether an interactive shot is queued and due. It reads an index of these shots only."""
    due = select(shot.c.seq).where(shot.c.status == _QUEUED, shot.c.priority == _INTERACTIVE, due_at(shot) <= _now())
    return connection.execute(due.where(of_known_kind(shot)).limit(_number(1))).first() is not None


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


def _in_line(rows: Select[Any], line: FromClause, first: int = 1, *, by_engine: bool = False) -> Select[Any]:
    """The first queued shots in the order of their index, (tenant, priority, seq), or with the engine before seq.

    Only that index has this order, which keeps the database from walking through shots that ended long ago in another.
    """
    order = line.c.tenant_id, line.c.priority, *([line.c.engine] if by_engine else []), line.c.seq
    return rows.where(line.c.status == _QUEUED).order_by(*order).limit(_number(first))


def _heads(
    tenants: CTE,
    first: int,
    dialect: str,
    priorities: Sequence[Priority],
    kinds: Sequence[ShotKind],
    engines: Engines | None,
) -> list[Select[Any]]:
    """The `first` shots that are queued and due, of each of the tenants, the priorities and the `engines`."""
    # The table has these two priorities only. With `=`, other indexes would have the order of the result too.
    line = shot.alias("line")
    each = {"interactive": line.c.priority >= _INTERACTIVE, "catalogue": line.c.priority <= _CATALOGUE}
    lines: list[tuple[Priority, ColumnElement[bool] | None]] = [(priority, None) for priority in priorities]
    if engines is not None:
        # With `=` for the engine too, other indexes would have the order of the result.
        only = {name: and_(line.c.engine >= name, line.c.engine <= name) for one in engines for name in one}
        lines = [(one, only[name]) for one in priorities for name in engines.of(one)]
        lines += [(one, line.c.engine.is_(None)) for one in priorities]
    found = []
    for number, (priority, of_engine) in enumerate(lines):
        mine = [line.c.tenant_id == tenants.c.tenant_id, each[priority], of_known_kind(line, kinds)]
        if of_engine is not None:
            mine[1:2] = [line.c.priority == (_INTERACTIVE if priority == "interactive" else _CATALOGUE), of_engine]
        rows_due = select(line.c.seq).where(*mine, due_at(line) <= _now())
        due = _in_line(rows_due, line, first, by_engine=of_engine is not None)
        if dialect == "sqlite":  # it has no LATERAL
            one = shot.alias("one")
            rows = select(one.c.tenant_id, one.c.seq, one.c.priority, one.c.created_at, _work(one).label("work"))
            found.append(rows.select_from(tenants.join(one, one.c.seq.in_(due.correlate(tenants)))))
        else:
            columns = line.c.priority, line.c.created_at, _work(line).label("work")
            head = due.add_columns(*columns).lateral(f"head_{number}")
            rows = select(tenants.c.tenant_id, head.c.seq, head.c.priority, head.c.created_at, head.c.work)
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


def _work(row: FromClause) -> ColumnElement[int]:
    """A shot's work in row-steps, its pictures' begin and decode included."""
    # A replica of version 0.1.0 leaves these two columns NULL.
    return func.coalesce(row.c.row_steps, row.c.steps) + PICTURE_ROW_STEPS * func.coalesce(row.c.images, 1)


def _last_turn(priority: ColumnElement[str]) -> ScalarSelect[float]:
    """The turn of the last claim of this priority."""
    last = shot.alias("last")
    turns = select(last.c.turn).where(last.c.priority == priority, last.c.turn >= literal_column("0"))
    return turns.order_by(last.c.priority.desc(), last.c.turn.desc()).limit(_number(1)).scalar_subquery()


def _turn_after(
    tenant_id: ColumnElement[str], priority: ColumnElement[str], weight: ColumnElement[float]
) -> ScalarSelect[float]:
    """The turn after the last claim of this line."""
    own = shot.alias("own")
    # With `=` for the tenant, a database without statistics would take another index of it.
    line = own.c.tenant_id >= tenant_id, own.c.tenant_id <= tenant_id, own.c.priority == priority
    turns = select(own.c.turn + _work(own) / weight).where(*line, own.c.turn.is_not(None))
    order = own.c.tenant_id.desc(), own.c.priority.desc(), own.c.turn.desc()
    return turns.order_by(*order).limit(_number(1)).scalar_subquery()


def _ordered(name: str, rows: CompoundSelect[Any]) -> Subquery:
    """Number claimable shots in the order of claims. The rows have tenant_id, seq, priority, created_at and work.

    A line's first shot finds the line's turn, and a window hands it on to the others. A join would do the same, but a
    database expects one row of it and compares every shot with every line.
    """
    w = rows.subquery(f"{name}_rows").c
    line = (w.tenant_id, w.priority)
    nth = func.row_number().over(partition_by=line, order_by=w.seq)
    before = func.sum(w.work).over(partition_by=line, order_by=w.seq) - w.work
    numbered = select(w.seq, w.tenant_id, w.priority, w.created_at, tenant.c.weight, nth.label("nth"))
    numbered = numbered.add_columns(before.label("before")).join(tenant, tenant.c.id == w.tenant_id)
    n = numbered.subquery(f"{name}_numbered").c

    since = _now() - AGEING_S
    unclaimed = func.coalesce(_last_catalogue_claim(n.tenant_id) <= since, true())
    aged = and_(n.nth == 1, n.priority == _CATALOGUE, n.created_at < since, unclaimed)
    now = func.coalesce(case((n.priority == _INTERACTIVE, _last_turn(_INTERACTIVE)), else_=_last_turn(_CATALOGUE)), 0.0)
    own = case((n.nth == 1, _turn_after(n.tenant_id, n.priority, n.weight)))
    shots = select(n.seq, n.tenant_id, n.priority, n.nth, n.before, n.weight)
    s = shots.add_columns(aged.label("aged"), now.label("now"), own.label("own")).subquery(f"{name}_shots").c

    # An aged shot goes out of turn. Its line continues at the present turn, so that no other line is passed.
    turn = case((and_(~s.aged, s.own > s.now), s.own), else_=s.now)
    of_line = func.first_value(turn).over(partition_by=(s.tenant_id, s.priority), order_by=s.seq)
    rank = case((s.aged, 0), (s.priority == _INTERACTIVE, 1), else_=2)
    ranked = select(s.seq, s.tenant_id, s.nth, rank.label("rank"))
    ranked = ranked.add_columns((of_line + cast(s.before, Double) / s.weight).label("turn"))
    r = ranked.subquery(f"{name}_ranked").c
    order = r.rank, r.turn, r.seq
    nth_of_tenant = func.row_number().over(partition_by=r.tenant_id, order_by=order).label("nth_of_tenant")
    position = (func.row_number().over(order_by=order) - 1).label("position")
    found = select(r.seq, r.tenant_id, r.nth, r.turn, nth_of_tenant, position).subquery(name)
    found.c.keys()  # made here, by one thread: SQLAlchemy makes columns at their first use, and threads make them twice
    return found
