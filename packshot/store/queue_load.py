"""The load of the queue (queued, running and arrived work) in one query each, for the autoscaler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Select, case, func, or_, select

from packshot.contract.status import PRIORITIES, Priority
from packshot.store.records import Flow, Load, QueueLoad
from packshot.store.schema import shot


def load_query(since_seq: int) -> Select[Any]:
    """Select one row for each priority, over shots that run or were accepted after `since_seq`."""
    pictures, row_steps = _work()
    # `steps` counts the whole shot, all its images together. Integer division gives the same result in both databases.
    done = row_steps * shot.c.step // func.nullif(shot.c.steps, 0, type_=BigInteger)
    left = row_steps - func.coalesce(done, 0)

    def load(which: ColumnElement[bool], row_steps: ColumnElement[int]) -> list[ColumnElement[int]]:
        return [func.coalesce(func.sum(case((which, value), else_=0)), 0) for value in (1, pictures, row_steps)]

    running, arrived = shot.c.status == "running", shot.c.seq > since_seq
    return (
        select(shot.c.priority, *load(running, left), *load(arrived, row_steps))
        .where(or_(running, arrived))
        .group_by(shot.c.priority)
    )


def pending_query() -> Select[Any]:
    """Select one row (priority, shots, pictures, row-steps) for each priority, over the work that waits for a device.

    `pending_device_s` and the autoscaler's report both come from it, so what it counts is what is scaled for. It reads
    only the index of the waiting shots, and each of them once.
    """
    pictures, row_steps = _work()
    return (
        select(shot.c.priority, func.count(), func.sum(pictures), func.sum(row_steps))
        .where(shot.c.status == "queued")
        .group_by(shot.c.priority)
    )


def _work() -> tuple[ColumnElement[int], ColumnElement[int]]:
    """A shot's pictures and row-steps."""
    # A replica of version 0.1.0 leaves these two columns NULL. Its shots count as one image without guidance.
    return func.coalesce(shot.c.images, 1), func.coalesce(shot.c.row_steps, shot.c.steps)


def pending_of(rows: Sequence[Row[Any]]) -> dict[Priority, Load]:
    """Convert the rows of `pending_query`. Every priority has an entry."""
    found: dict[Priority, Load] = {}
    for row in rows:
        sums: Sequence[Any] = row[1:]
        found[row[0]] = Load(*(int(number) for number in sums))
    return {priority: found.get(priority, Load()) for priority in PRIORITIES}


def load_of(pending: Mapping[Priority, Load], rows: Sequence[Row[Any]], last_seq: int) -> QueueLoad:
    """Join the waiting work with the rows of `load_query`."""
    flows = {priority: Flow(waiting) for priority, waiting in pending.items()}
    for row in rows:
        sums: Sequence[Any] = row[1:]
        numbers = [int(value) for value in sums]  # PostgreSQL sums big integers to decimals
        flows[row[0]] = Flow(flows[row[0]].waiting, Load(*numbers[:3]), Load(*numbers[3:]))
    return QueueLoad(last_seq, *(flows[priority] for priority in PRIORITIES))
