"""The order in which waiting shots are claimed. `claim` and every reported position use this one query.

Interactive shots come before catalogue shots. Within each priority, the tenant with the fewest running shots is next,
with its oldest shot. Ageing: when a tenant's oldest catalogue shot has waited `AGEING_S` seconds and none of its
catalogue shots was claimed in that time, that one shot counts as interactive. No shot starves, and ten thousand aged
shots do not delay a person.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import ColumnElement, FromClause, Subquery, and_, case, func, or_, select

from packshot.store.schema import Now, shot

AGEING_S = 120.0


def claimable(row: FromClause) -> ColumnElement[bool]:
    """The condition that a worker may claim the row: it is queued and due, or it runs and its lease has expired."""
    queued = and_(row.c.status == "queued", row.c.due_at <= Now())
    return or_(queued, and_(row.c.status == "running", row.c.lease_until <= Now()))


@cache  # building the query takes longer than running it on a short queue
def queue_order() -> Subquery:
    """A subquery with `seq` and `position` (0 = next) of every waiting shot. Shots in back-off come last."""
    busy = (
        select(shot.c.tenant_id, func.count().label("running"))
        .where(shot.c.status == "running", shot.c.lease_until > Now())
        .group_by(shot.c.tenant_id)
        .subquery("busy")
    )
    # A join, not a subquery for each row, so that a catalogue of thousands of shots is read once.
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
    # `turn` is how many of the tenant's shots run once this one is claimed. Sorting by it alternates between tenants.
    ahead = func.row_number().over(partition_by=r.tenant_id, order_by=(r.late, r.rank, r.seq))
    turns = select(r.seq, r.late, r.rank, (r.running + ahead).label("turn")).subquery("turns")
    t = turns.c
    position = func.row_number().over(order_by=(t.late, t.rank, t.turn, t.seq)) - 1
    return select(t.seq, position.label("position")).subquery("queue_order")
