"""How long a model's calls run, so that a health check can distinguish a slow device from a call that hangs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["FIRST_CALL", "SLOWER", "CallClock"]

FIRST_CALL = 5.0
"""Until a call has ended, one may run this many times the limit: kernels are compiled and chosen in the first."""
SLOWER = 4.0
"""A call may run this many times as long as the longest so far, where that is more than the limit."""


class CallClock:
    """The times of a model's calls. Its methods may be called in any thread."""

    def __init__(self) -> None:
        self._started_at: dict[int, float] = {}
        self._numbers = itertools.count()
        self.longest_s = 0.0
        """Seconds of the longest call that has ended; 0 = none has."""

    @contextmanager
    def call(self) -> Iterator[None]:
        """Time a call: the block."""
        number = next(self._numbers)
        self._started_at[number] = started_at = time.monotonic()
        try:
            yield
        finally:
            del self._started_at[number]
            self.longest_s = max(self.longest_s, time.monotonic() - started_at)

    @property
    def busy_s(self) -> float:
        """Seconds that the longest running call has run; 0 when none runs."""
        return max((time.monotonic() - started_at for started_at in list(self._started_at.values())), default=0.0)

    def allowed_s(self, limit_s: float) -> float:
        """Seconds that a call may run before it counts as hung. `limit_s` is what a call of a warm model may take."""
        return max(limit_s, SLOWER * self.longest_s) if self.longest_s else FIRST_CALL * limit_s
