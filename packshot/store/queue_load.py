"""The load of the queue (queued, running and arrived work) in one query each, for the autoscaler.

A catalogue's rows become shots in windows. What it has not opened yet counts as waiting work all the same, so that the
autoscaler sees a whole catalogue at once. `pending_device_s` and the autoscaler's report count the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, case, func, or_, select

from packshot.contract.status import PRIORITIES, Priority
from packshot.store.catalogue_tables import catalogue, catalogue_row
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
    """Select one row (priority, shots, pictures, row-steps) for each priority, over the queued shots.

    It reads only the index of the waiting shots, and each of them once.
    """
    pictures, row_steps = _work()
    return (
        select(shot.c.priority, func.count(), func.sum(pictures), func.sum(row_steps))
        .where(shot.c.status == "queued")
        .group_by(shot.c.priority)
    )


def unopened_of(connection: Connection) -> dict[str, Load]:
    """The work of rows that wait in running catalogues, by tenant. The queue does not hold it yet."""
    row = catalogue_row.c
    running = select(catalogue.c.id).where(catalogue.c.state == "running")
    sums = func.sum(row.shots_left), func.sum(row.pictures), func.sum(row.row_steps)
    waiting = select(row.tenant_id, *sums).where(row.state == "waiting", row.catalogue_id.in_(running))
    found = connection.execute(waiting.group_by(row.tenant_id)).all()
    return {tenant_id: Load(*(int(number) for number in numbers)) for tenant_id, *numbers in found}


def pending(connection: Connection) -> dict[Priority, Load]:
    """The work that waits for a device, by priority: that of queued shots, and of catalogues' unopened rows."""
    found = pending_of(connection.execute(pending_query()).all())
    for unopened in unopened_of(connection).values():
        found["catalogue"] = _plus(found["catalogue"], unopened)
    return found


def _plus(one: Load, other: Load) -> Load:
    return Load(one.shots + other.shots, one.pictures + other.pictures, one.row_steps + other.row_steps)


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
