"""Calls that are repeated while the server is busy or away, as when it is being restarted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from packshot.errors import Overloaded, Unavailable

__all__ = ["PATIENCE_S", "patiently"]

T = TypeVar("T")

PATIENCE_S = 60.0
"""A call is repeated for so long, seconds."""

WAIT_S = 2.0


def patiently(call: Callable[[], T], stopped: Callable[[], bool] = lambda: False) -> T:
    """Repeat a call while it raises Overloaded or Unavailable, for PATIENCE_S seconds at most, or until `stopped`."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except (Overloaded, Unavailable) as error:
            wait_s = min(error.retry_after_s or WAIT_S, 10.0)
            if stopped() or time.monotonic() + wait_s > give_up_at:
                raise
            time.sleep(wait_s)
