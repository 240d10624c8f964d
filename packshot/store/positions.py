"""Positions: how many shots would be claimed before a waiting shot. They are exact for the first `EXACT` shots.

A later shot gets an estimate, because its exact position would need the whole line in order. The estimate shares the
workers between the tenants' lines as claims do. How long the lines are comes from a census of them (census.py).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from packshot.store.census import Census, read_census
from packshot.store.queue_order import due_at, queue_order
from packshot.store.schema import Now, shot

EXACT = 100
"""How many shots at the front of the queue have an exact position."""

DEPTHS = (2, 16)
"""How many shots of each line are read to find the front of the queue, before as many as `EXACT`."""

WATCH_FRESH_S = 0.5
"""Largest age of the positions that a client who polls gets, in seconds."""

CENSUS_FRESH_S = 2.0
"""For how many seconds a process uses a census that it has read."""


class Position(NamedTuple):
    """How many shots would be claimed before a shot. `estimated` is true behind the first `EXACT` shots."""

    ahead: int
    estimated: bool = False


class Positions:
    """Finds the positions of waiting shots. Clients that poll share one reading of the front of the queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._front: dict[int, int] = {}
        self._front_at = -math.inf
        self._front_seq = 0
        self._census: Census | None = None
        self._census_at = -math.inf

    def now(self, connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, Position]:
        """Return the present positions of queued shots, by `seq`; 0 = next. `rows` are rows of `shot`."""
        return self._places(connection, rows, front_of(connection))

    def lately(self, connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, Position]:
        """Like `now`, at most `WATCH_FRESH_S` old. A shot that was accepted since then causes a new reading."""
        with self._lock:  # one thread reads, the others use its result
            newest = max((row.seq for row in rows), default=0)
            if time.monotonic() - self._front_at > WATCH_FRESH_S or newest > self._front_seq:
                self._front = front_of(connection)
                self._front_at = time.monotonic()
                self._front_seq = max(self._front_seq, newest)
            front = self._front
        return self._places(connection, rows, front)

    def _places(self, connection: Connection, rows: Sequence[Row[Any]], front: dict[int, int]) -> dict[int, Position]:
        places = {row.seq: Position(front[row.seq]) for row in rows if row.seq in front}
        behind = [row for row in rows if row.seq not in front]
        if behind and len(front) >= EXACT:
            census = self._recent_census(connection)
            for row in behind:
                ahead = census.ahead_of(row.tenant_id, row.priority, row.seq)
                places[row.seq] = Position(max(EXACT, ahead), estimated=True)
        elif behind:
            # Every shot that is due is in front. These are in back-off, and the ones due first come first.
            late = _in_back_off(connection)
            places |= {row.seq: Position(len(front) + late.get(row.seq, len(late))) for row in behind}
        return places

    def _recent_census(self, connection: Connection) -> Census:
        with self._lock:
            if self._census is None or time.monotonic() - self._census_at > CENSUS_FRESH_S:
                self._census = read_census(connection)
                self._census_at = time.monotonic()
            return self._census


def front_of(connection: Connection) -> dict[int, int]:
    """Read the positions of the first `EXACT` shots that a worker may claim, by `seq`."""
    for each in (*DEPTHS, EXACT):  # the more tenants wait, the fewer shots of each are enough
        order = queue_order(connection.dialect.name, EXACT, each)
        rows = connection.execute(select(order.c.seq, order.c.position, order.c.nth)).all()
        cut = [row.position for row in rows if row.nth >= each]  # behind these, a line may be longer than was read
        if not cut or min(cut) >= EXACT - 1:
            break
    return {row.seq: row.position for row in rows if row.position < EXACT}


def _in_back_off(connection: Connection) -> dict[int, int]:
    """The order in which queued shots that are not due yet become due, by `seq`."""
    now = select(Now()).scalar_subquery()
    late = select(shot.c.seq).where(shot.c.status == "queued", due_at(shot) > now)
    rows = connection.execute(late.order_by(due_at(shot), shot.c.seq).limit(EXACT))
    return {row.seq: place for place, row in enumerate(rows)}
