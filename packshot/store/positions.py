"""How many shots would be claimed before a waiting one."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from sqlalchemy import Connection, select

from packshot.store.queue_order import queue_order

WATCH_FRESH_S = 0.5
"""How old the positions of `RecentPositions` may be: ranking a long queue costs 10 µs a shot."""


def positions(connection: Connection, seqs: Sequence[int] | None = None) -> dict[int, int]:
    """Positions by `seq`, of the shots named or of all that wait; 0 = next."""
    waiting = queue_order()
    query = select(waiting.c.seq, waiting.c.position)
    if seqs is not None:
        query = query.where(waiting.c.seq.in_(seqs))
    return {row.seq: row.position for row in connection.execute(query)}


class RecentPositions:
    """Positions for clients that ask again and again: one ranking of the queue, every `WATCH_FRESH_S`, serves all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, int] = {}
        self._read_at = -math.inf

    def __call__(self, connection: Connection, seqs: Sequence[int]) -> dict[int, int]:
        """As `positions`. A shot that was accepted since the last ranking causes a new one."""
        with self._lock:  # one thread ranks, the others use its result
            stale = time.monotonic() - self._read_at > WATCH_FRESH_S
            if stale or not self._known.keys() >= set(seqs):
                self._known = positions(connection)
                self._read_at = time.monotonic()
            return self._known
