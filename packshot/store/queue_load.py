"""The load of the queue (queued, running and arrived work) in one query each, for the autoscaler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Select, case, func, or_, select

from packshot.contract.status import LIVE, PRIORITIES
from packshot.store.records import Flow, Load, QueueLoad
from packshot.store.schema import shot


def load_query(since_seq: int) -> Select[Any]:
    """Select one row for each priority, over shots that are queued, run, or were accepted after `since_seq`."""
    pictures, row_steps = _work()
    # `steps` counts the whole shot, all its images together. Integer division gives the same result in both databases.
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


def pending_query() -> Select[Any]:
    """Select one row (priority, pictures, row-steps) for each priority, over the work that waits for a device.

    It reads only the index of the waiting shots, and each of them once.
    """
    pictures, row_steps = _work()
    return (
        select(shot.c.priority, func.sum(pictures), func.sum(row_steps))
        .where(shot.c.status == "queued")
        .group_by(shot.c.priority)
    )


def _work() -> tuple[ColumnElement[int], ColumnElement[int]]:
    """A shot's pictures and row-steps."""
    # A replica of version 0.1.0 leaves these two columns NULL. Its shots count as one image without guidance.
    return func.coalesce(shot.c.images, 1), func.coalesce(shot.c.row_steps, shot.c.steps)


def load_of(rows: Sequence[Row[Any]], last_seq: int) -> QueueLoad:
    """Convert the rows of `load_query` to a record."""
    flows = {}
    for row in rows:
        sums: Sequence[Any] = row[1:]
        numbers = [int(value) for value in sums]  # PostgreSQL sums big integers to decimals
        flows[row[0]] = Flow(Load(*numbers[:3]), Load(*numbers[3:6]), Load(*numbers[6:]))
    return QueueLoad(last_seq, *(flows.get(priority, Flow()) for priority in PRIORITIES))
