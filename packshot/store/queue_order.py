"""The order in which waiting shots are claimed: one query, used by `claim` and by every reported position.

Interactive shots go before catalogue ones; within each, the tenant with the fewest shots running is next, its oldest
shot first. Ageing: if a tenant's oldest catalogue shot has waited `AGEING_S` and none of its catalogue shots was
started for as long, that one shot counts as interactive. So nothing starves, and ten thousand aged rows cannot crowd
out a person.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import ColumnElement, FromClause, Subquery, and_, case, func, or_, select

from packshot.store.schema import Now, shot

AGEING_S = 120.0


def claimable(row: FromClause) -> ColumnElement[bool]:
    """Whether a worker may claim the row: it is queued and due, or its lease ran out while it ran."""
    queued = and_(row.c.status == "queued", row.c.due_at <= Now())
    return or_(queued, and_(row.c.status == "running", row.c.lease_until <= Now()))


@cache  # building the query takes longer than running it on a short queue
def queue_order() -> Subquery:
    """Columns `seq` and `position` (0 = next) of every shot that waits; those in back-off come after all others."""
    busy = (
        select(shot.c.tenant_id, func.count().label("running"))
        .where(shot.c.status == "running", shot.c.lease_until > Now())
        .group_by(shot.c.tenant_id)
        .subquery("busy")
    )
    # Joined, not asked row by row: a catalogue of thousands is read once.
    served = (
        select(shot.c.tenant_id)
        .where(shot.c.priority == "catalogue", shot.c.claimed_at > Now() - AGEING_S)
        .distinct()
        .subquery("served")
    )
    backing_off = case((claimable(shot), 0), else_=1)
    nth_of_kind = func.row_number().over(
        partition_by=(shot.c.tenant_id, shot.c.priority), order_by=(backing_off, shot.c.seq)
    )
    waiting = (
        select(
            shot.c.seq,
            shot.c.tenant_id,
            shot.c.priority,
            case((backing_off == 1, shot.c.due_at), else_=0.0).label("late"),
            (shot.c.created_at < Now() - AGEING_S).label("aged"),
            nth_of_kind.label("nth"),
            served.c.tenant_id.is_not(None).label("served_lately"),
            func.coalesce(busy.c.running, 0).label("running"),
        )
        .outerjoin(busy, busy.c.tenant_id == shot.c.tenant_id)
        .outerjoin(served, served.c.tenant_id == shot.c.tenant_id)
        .where(shot.c.status.in_(("queued", "running")))
        .where(or_(shot.c.status == "queued", shot.c.lease_until <= Now()))
        .subquery("waiting")
    )
    w = waiting.c
    promoted = and_(w.nth == 1, w.aged, ~w.served_lately)
    rank = case((or_(w.priority == "interactive", promoted), 0), else_=1)
    ranked = select(w.seq, w.tenant_id, w.late, rank.label("rank"), w.running).subquery("ranked")
    r = ranked.c
    # How many of its tenant's shots will run when its turn comes. Sorting by it deals the tenants out in turns.
    ahead = func.row_number().over(partition_by=r.tenant_id, order_by=(r.late, r.rank, r.seq))
    dealt = select(r.seq, r.late, r.rank, (r.running + ahead).label("turn")).subquery("dealt")
    d = dealt.c
    position = func.row_number().over(order_by=(d.late, d.rank, d.turn, d.seq)) - 1
    return select(d.seq, position.label("position")).subquery("queue_order")
