"""Retries of calls while the server is busy or does not answer, as during its restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from packshot.errors import Overloaded, Unavailable

__all__ = ["RETRY_FOR_S", "retry_while_busy"]

T = TypeVar("T")

RETRY_FOR_S = 60.0
"""For how long a call is retried, seconds."""

WAIT_S = 2.0


def retry_while_busy(call: Callable[[], T], stopped: Callable[[], bool] = lambda: False) -> T:
    """Retry a call while it raises Overloaded or Unavailable, for RETRY_FOR_S seconds at most, or until `stopped`."""
    give_up_at = time.monotonic() + RETRY_FOR_S
    while True:
        try:
            return call()
        except (Overloaded, Unavailable) as error:
            wait_s = min(error.retry_after_s or WAIT_S, 10.0)
            if stopped() or time.monotonic() + wait_s > give_up_at:
                raise
            time.sleep(wait_s)
