"""The order of claims computed by sorting every waiting shot in Python: the oracle of queue_order.py."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from sqlalchemy import Row, select

from packshot.store.queue_order import AGEING_S, PICTURE_ROW_STEPS
from packshot.store.schema import Now, shot, tenant
from packshot.store.store import Store


def sorted_line(store: Store, *, due: bool = False) -> list[str]:
    """The ids of all waiting shots in the order of claims. Shots in back-off come last. Weights divide the turns.

    With `due`, shots in back-off are left out.
    """
    with store.database.read() as connection:
        now: float = connection.execute(select(Now())).scalar_one()
        rows = connection.execute(select(shot).order_by(shot.c.tenant_id, shot.c.priority, shot.c.seq)).all()
        weights = {row.id: row.weight for row in connection.execute(select(tenant))}
    claimable = [row for row in rows if row.status == "queued" and row.due_at <= now]
    claimable += [row for row in rows if row.status == "running" and row.lease_until <= now]
    order: list[tuple[int, float, int, str]] = []
    for (owner, priority), line in groupby(sorted(claimable, key=_line), key=_line):
        claimed = [row for row in rows if row.priority == priority and row.turn is not None]
        present = max((row.turn for row in claimed), default=0.0)
        own = max((row for row in claimed if row.tenant_id == owner), key=lambda row: row.turn, default=None)
        shots = sorted(line, key=lambda row: row.seq)
        claims = [row.claimed_at or 0.0 for row in rows if _line(row) == (owner, "catalogue")]
        aged = priority == "catalogue" and max(shots[0].created_at, *claims, 0.0) <= now - AGEING_S
        turn = present if aged or own is None else max(present, own.turn + _work(own) / weights[owner])
        for nth, row in enumerate(shots):
            rank = 0 if aged and nth == 0 else 1 if priority == "interactive" else 2
            order.append((rank, turn + sum(map(_work, shots[:nth])) / weights[owner], row.seq, row.id))
    late = sorted((row.due_at, row.seq, row.id) for row in rows if row.status == "queued" and row.due_at > now)
    return [one[-1] for one in sorted(order)] + ([] if due else [one[-1] for one in late])


def _line(row: Row[Any]) -> tuple[str, str]:
    return row.tenant_id, row.priority


def _work(row: Row[Any]) -> int:
    return int((row.steps if row.row_steps is None else row.row_steps) + PICTURE_ROW_STEPS * (row.images or 1))
