"""The load of the queue (queued, running and arrived work) in one query each, for the autoscaler.

A catalogue's rows become shots in windows. What it has not opened yet counts as waiting work all the same, so that the
autoscaler sees a whole catalogue at once. `pending_device_s` and the autoscaler's report count the same. Each query
gives the work of each engine apart; an engine None is that of work that needs none, or that does not say which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, case, func, or_, select

from packshot.contract.status import PRIORITIES, Priority
from packshot.store.catalogue_tables import catalogue, catalogue_row
from packshot.store.load_records import Flow, Load, QueueLoad
from packshot.store.schema import shot

Lines: TypeAlias = Mapping[tuple[Priority, str | None], Load]
"""Waiting work by priority and engine."""


def load_query(since_seq: int) -> Select[Any]:
    """Select a row for each priority and engine, over shots that run or were accepted after `since_seq`."""
    pictures, row_steps = _work()
    # `steps` counts the whole shot, all its images together. Integer division gives the same result in both databases.
    done = row_steps * shot.c.step // func.nullif(shot.c.steps, 0, type_=BigInteger)
    left = row_steps - func.coalesce(done, 0)

    def load(which: ColumnElement[bool], row_steps: ColumnElement[int]) -> list[ColumnElement[int]]:
        return [func.coalesce(func.sum(case((which, value), else_=0)), 0) for value in (1, pictures, row_steps)]

    running, arrived = shot.c.status == "running", shot.c.seq > since_seq
    return (
        select(shot.c.priority, shot.c.engine, *load(running, left), *load(arrived, row_steps))
        .where(or_(running, arrived))
        .group_by(shot.c.priority, shot.c.engine)
    )


def pending_query() -> Select[Any]:
    """Select a row (priority, engine, shots, pictures, row-steps) for each priority and engine, over queued shots.

    It reads only the index of the waiting shots, and each of them once.
    """
    pictures, row_steps = _work()
    return (
        select(shot.c.priority, shot.c.engine, func.count(), func.sum(pictures), func.sum(row_steps))
        .where(shot.c.status == "queued")
        .group_by(shot.c.priority, shot.c.engine)
    )


def unopened_of(connection: Connection) -> dict[tuple[str, str | None], Load]:
    """The work of rows that wait in running catalogues, by tenant and engine. The queue does not hold it yet."""
    c = catalogue_row.c
    sums = func.sum(c.shots_left), func.sum(c.pictures), func.sum(c.row_steps)
    waiting = select(c.catalogue_id, *(one.label(f"sum_{n}") for n, one in enumerate(sums)))
    running = select(catalogue.c.id).where(catalogue.c.state == "running")
    of_one = waiting.where(c.state == "waiting", c.catalogue_id.in_(running)).group_by(c.catalogue_id).subquery()
    found: dict[tuple[str, str | None], Load] = defaultdict(Load)
    own = select(catalogue.c.tenant_id, catalogue.c.engine, of_one)
    for row in connection.execute(own.join(of_one, of_one.c.catalogue_id == catalogue.c.id)):
        tenant_id, engine, _, *numbers = tuple(row)
        found[tenant_id, engine] += Load(*(int(number) for number in numbers))
    return dict(found)


def pending(connection: Connection) -> dict[tuple[Priority, str | None], Load]:
    """The work that waits for a device, by priority and engine: of queued shots, and of catalogues' unopened rows."""
    found: dict[tuple[Priority, str | None], Load] = defaultdict(Load)
    for row in connection.execute(pending_query()):
        priority, engine, *sums = tuple(row)
        found[priority, engine] += Load(*(int(number) for number in sums))
    for (_, engine), unopened in unopened_of(connection).items():
        found["catalogue", engine] += unopened
    return dict(found)


def by_priority(lines: Lines) -> dict[Priority, Load]:
    """The sums over all engines. Every priority has an entry."""
    found = dict.fromkeys(PRIORITIES, Load())
    for (priority, _), load in lines.items():
        found[priority] += load
    return found


def _work() -> tuple[ColumnElement[int], ColumnElement[int]]:
    """A shot's pictures and row-steps."""
    # A replica of version 0.1.0 leaves these two columns NULL. Its shots count as one image without guidance.
    return func.coalesce(shot.c.images, 1), func.coalesce(shot.c.row_steps, shot.c.steps)


def load_of(pending: Lines, rows: Iterable[Row[Any]], last_seq: int) -> QueueLoad:
    """Join the waiting work with the rows of `load_query`."""
    flows: dict[tuple[Priority, str | None], Flow] = {line: Flow(waiting) for line, waiting in pending.items()}
    for row in rows:
        priority, engine, *sums = tuple(row)
        numbers = [int(value) for value in sums]  # PostgreSQL sums big integers to decimals
        waiting = flows.get((priority, engine), Flow()).waiting
        flows[priority, engine] = Flow(waiting, Load(*numbers[:3]), Load(*numbers[3:]))
    whole: dict[Priority, Flow] = dict.fromkeys(PRIORITIES, Flow())
    engines: dict[str, dict[Priority, Flow]] = {}
    for (priority, named), flow in flows.items():
        whole[priority] += flow
        if named is not None:
            engines.setdefault(named, dict.fromkeys(PRIORITIES, Flow()))[priority] = flow
    return QueueLoad(last_seq, whole["interactive"], whole["catalogue"], engines)
