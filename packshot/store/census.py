"""A census of the waiting lines: how long each tenant's line is, from which a shot's position is estimated.

Counting a long line takes tens of milliseconds. A director therefore counts for the whole cluster
(packshot/shots/load_report.py) and keeps the result as a snapshot. Without one, the process counts for itself.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from packshot.contract.status import PRIORITIES, Priority
from packshot.store.schema import shot, tenant
from packshot.store.snapshots import read_snapshot

SNAPSHOT = "census"

MAX_AGE_S = 60.0
"""Largest age of the cluster's census in seconds. With an older one, a process counts for itself."""

EVERY = 100
"""The census keeps the `seq` of every so many shots of a line. Between two of them, places are interpolated."""


@dataclass(frozen=True)
class Line:
    """A tenant's waiting shots of one priority. `marks` are the `seq` of the first one and of each `EVERY`-th after."""

    count: int = 0
    marks: tuple[int, ...] = ()

    def before(self, seq: int) -> int:
        """About how many shots of the line come before the shot `seq`."""
        at = bisect_right(self.marks, seq) - 1
        if at < 0:
            return 0
        until = min(self.count, (at + 1) * EVERY)
        if at + 1 == len(self.marks):  # behind the last mark, each shot has at least its own `seq`
            return min(until, at * EVERY + seq - self.marks[at])
        share = (seq - self.marks[at]) / (self.marks[at + 1] - self.marks[at])
        return at * EVERY + round(share * EVERY)


@dataclass(frozen=True)
class Waiting:
    """A tenant with its weight, and its lines by priority."""

    weight: float = 1.0
    lines: dict[Priority, Line] = field(default_factory=dict)

    def line(self, priority: Priority) -> Line:
        return self.lines.get(priority, Line())


@dataclass(frozen=True)
class Census:
    """The tenants whose shots wait, by id."""

    tenants: dict[str, Waiting]

    def ahead_of(self, tenant_id: str, priority: Priority, seq: int) -> int:
        """About how many shots would be claimed before the shot. Shots count as equal work, and ageing not at all."""
        mine = self.tenants.get(tenant_id, Waiting())
        own = mine.line(priority).before(seq)
        turn = (own + 1) / mine.weight
        others = sum(
            min(one.line(priority).count, int(turn * one.weight))
            for name, one in self.tenants.items()
            if name != tenant_id
        )
        sooner = PRIORITIES[: PRIORITIES.index(priority)]
        return sum(one.line(kind).count for one in self.tenants.values() for kind in sooner) + own + others

    def to_json(self) -> dict[str, Any]:
        """The census as JSON values. Code of an earlier version reads a number of running shots between the others."""
        return {
            name: [one.weight, 0, {kind: [line.count, *line.marks] for kind, line in one.lines.items()}]
            for name, one in self.tenants.items()
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Census:
        """The census of `to_json`."""
        return cls(
            {
                name: Waiting(weight, {kind: Line(line[0], tuple(line[1:])) for kind, line in lines.items()})
                for name, (weight, _, lines) in value.items()
            }
        )


def read_census(connection: Connection) -> Census:
    """Return the cluster's census, or a new one when it has none that is recent."""
    value = read_snapshot(connection, SNAPSHOT, MAX_AGE_S)
    return take_census(connection) if value is None else Census.from_json(value)


def take_census(connection: Connection) -> Census:
    """Count the lines. It reads the index of the waiting shots twice, and nothing is sorted."""
    queued, line = shot.c.status == "queued", (shot.c.tenant_id, shot.c.priority)
    nth = func.row_number().over(partition_by=line, order_by=shot.c.seq) - 1
    numbered = select(*line, shot.c.seq, nth.label("nth")).where(queued).subquery("numbered").c
    marks = select(numbered.tenant_id, numbered.priority, numbered.seq).where(numbered.nth % EVERY == 0)
    marks_of: dict[tuple[str, Priority], list[int]] = {}
    for tenant_id, priority, seq in connection.execute(marks):
        marks_of.setdefault((tenant_id, priority), []).append(seq)
    counts = select(*line, func.count()).where(queued).group_by(*line)
    lines: dict[str, dict[Priority, Line]] = {}
    for tenant_id, priority, count in connection.execute(counts):
        marked = tuple(sorted(marks_of.get((tenant_id, priority), [])))
        lines.setdefault(tenant_id, {})[priority] = Line(count, marked)
    weights = {row.id: row.weight for row in connection.execute(select(tenant.c.id, tenant.c.weight))}
    return Census({name: Waiting(weights[name], own) for name, own in lines.items()})
