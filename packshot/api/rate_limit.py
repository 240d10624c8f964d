"""A rate limit for requests that anyone may send, as a sliding window of one minute."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from packshot.errors import Overloaded

MINUTE_S = 60.0


class RateLimit:
    """Lets `per_minute` requests pass in any minute, those of all clients together. Use it from one event loop."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._passed: deque[float] = deque()

    def take(self) -> None:
        """Let a request pass. Raises Overloaded `busy` when the last minute has had `per_minute` requests."""
        now = self._clock()
        while self._passed and now - self._passed[0] >= MINUTE_S:
            self._passed.popleft()
        if len(self._passed) >= self._per_minute:
            rule = f"At most {self._per_minute} requests without a key are answered a minute, got one more"
            wait_s = math.ceil(MINUTE_S - (now - self._passed[0])) if self._passed else MINUTE_S
            raise Overloaded("busy", f"{rule}; retry later, or send a key.", retry_after_s=wait_s)
        self._passed.append(now)
