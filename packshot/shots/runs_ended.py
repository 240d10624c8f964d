"""The end of any run in this process, for requests that wait for their shot."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class RunsEnded:
    """Wakes all who wait when a run has ended. Use it from one event loop."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wake the waiters: a run has ended."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Wait until a run ends, at most `timeout_s` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._next.wait()
