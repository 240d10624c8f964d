"""Positions: how many shots would be claimed before a waiting shot."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from sqlalchemy import Connection, select

from packshot.store.queue_order import queue_order

WATCH_FRESH_S = 0.5
"""Largest age of a `RecentPositions` ranking in seconds. Ranking a long queue takes 10 µs for each shot."""


def positions(connection: Connection, seqs: Sequence[int] | None = None) -> dict[int, int]:
    """Read the positions of the shots in `seqs`, or of all waiting shots, by `seq`; 0 = next."""
    waiting = queue_order()
    query = select(waiting.c.seq, waiting.c.position)
    if seqs is not None:
        query = query.where(waiting.c.seq.in_(seqs))
    return {row.seq: row.position for row in connection.execute(query)}


class RecentPositions:
    """Positions for clients that poll. All of them share one ranking, at most `WATCH_FRESH_S` old."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, int] = {}
        self._read_at = -math.inf

    def __call__(self, connection: Connection, seqs: Sequence[int]) -> dict[int, int]:
        """Like `positions`. A shot that was accepted after the last ranking causes a new ranking."""
        with self._lock:  # one thread ranks, the others use its result
            stale = time.monotonic() - self._read_at > WATCH_FRESH_S
            if stale or not self._known.keys() >= set(seqs):
                self._known = positions(connection)
                self._read_at = time.monotonic()
            return self._known
