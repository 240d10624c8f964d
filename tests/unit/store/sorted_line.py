"""The order of claims as version 0.3 computed it, by sorting every waiting shot: the oracle of queue_order.py."""

from __future__ import annotations

from sqlalchemy import and_, case, func, or_, select

from packshot.store.queue_order import AGEING_S, claimable
from packshot.store.schema import Now, shot, tenant
from packshot.store.store import Store


def sorted_line(store: Store, *, due: bool = False) -> list[str]:
    """The ids of all waiting shots in the order of claims. Shots in back-off come last. Weights divide the turns.

    With `due`, shots in back-off are left out.
    """
    busy = (
        select(shot.c.tenant_id, func.count().label("running"))
        .where(shot.c.status == "running", shot.c.lease_until > Now())
        .group_by(shot.c.tenant_id)
        .subquery("busy")
    )
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
            shot.c.id,
            shot.c.seq,
            shot.c.tenant_id,
            shot.c.priority,
            tenant.c.weight,
            case((backing_off == 1, shot.c.due_at), else_=0.0).label("late"),
            (shot.c.created_at < Now() - AGEING_S).label("aged"),
            nth_of_kind.label("nth"),
            served.c.tenant_id.is_not(None).label("served_lately"),
            func.coalesce(busy.c.running, 0).label("running"),
        )
        .join(tenant, tenant.c.id == shot.c.tenant_id)
        .outerjoin(busy, busy.c.tenant_id == shot.c.tenant_id)
        .outerjoin(served, served.c.tenant_id == shot.c.tenant_id)
        .where(shot.c.status.in_(("queued", "running")))
        .where(or_(shot.c.status == "queued", shot.c.lease_until <= Now()))
        .subquery("waiting")
    )
    w = waiting.c
    promoted = and_(w.nth == 1, w.aged, ~w.served_lately)
    rank = case((or_(w.priority == "interactive", promoted), 0), else_=1)
    ranked = select(w.id, w.seq, w.tenant_id, w.weight, w.late, rank.label("rank"), w.running).subquery("ranked")
    r = ranked.c
    ahead = func.row_number().over(partition_by=r.tenant_id, order_by=(r.late, r.rank, r.seq))
    turns = select(r.id, r.seq, r.late, r.rank, ((r.running + ahead) / r.weight).label("turn")).subquery("turns")
    t = turns.c
    line = select(t.id).order_by(t.late, t.rank, t.turn, t.seq)
    with store.database.read() as connection:
        return list(connection.execute(line.where(t.late == 0) if due else line).scalars())
