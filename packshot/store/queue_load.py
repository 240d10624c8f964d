"""How much work waits, runs and has arrived: one query over columns, for the autoscaler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Select, case, func, or_, select

from packshot.contract.status import LIVE, PRIORITIES
from packshot.store.records import Flow, Load, QueueLoad
from packshot.store.schema import shot


def load_query(since_seq: int) -> Select[Any]:
    """A row for each priority, over shots that wait, run, or were accepted after `since_seq`. Reads no other shot."""
    # Version 0.1.0, beside this one, leaves the two columns empty. Then a shot counts as one image without guidance.
    pictures = func.coalesce(shot.c.images, 1)
    row_steps = func.coalesce(shot.c.row_steps, shot.c.steps)
    # A heartbeat's `steps` are those of the whole shot. In whole numbers, by `//`: both databases then agree.
    done = row_steps * shot.c.step // func.nullif(shot.c.steps, 0, type_=BigInteger)
    left = row_steps - func.coalesce(done, 0)

    def load(which: ColumnElement[bool], row_steps: ColumnElement[int]) -> list[ColumnElement[int]]:
        return [func.coalesce(func.sum(case((which, value), else_=0)), 0) for value in (1, pictures, row_steps)]

    queued, running, arrived = shot.c.status == "queued", shot.c.status == "running", shot.c.seq > since_seq
    return (
        select(shot.c.priority, *load(queued, row_steps), *load(running, left), *load(arrived, row_steps))
        .where(or_(shot.c.status.in_(LIVE), arrived))
        .group_by(shot.c.priority)
    )


def load_of(rows: Sequence[Row[Any]], last_seq: int) -> QueueLoad:
    """The query's rows as a record."""
    flows = {}
    for row in rows:
        sums: Sequence[Any] = row[1:]
        numbers = [int(one) for one in sums]  # PostgreSQL sums big integers to decimals
        flows[row[0]] = Flow(Load(*numbers[:3]), Load(*numbers[3:6]), Load(*numbers[6:]))
    return QueueLoad(last_seq, *(flows.get(priority, Flow()) for priority in PRIORITIES))
