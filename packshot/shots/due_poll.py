"""The poll for due shots: it starts as many runs as places are free, and no more.

It finds the shots whose caller died, those whose back-off has ended, and those that no caller waits for. A notification
of the database, or the end of a run, starts it before its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import uniform

log = logging.getLogger(__name__)

SPREAD_S = 0.5
"""Longest random delay after a notification, in seconds. All directors hear it, and the first ones take the shot."""


class DuePoll:
    """Starts `run` for shots that are due.

    `due_count(most)` counts the due shots up to `most`, and may block. `run` claims and runs one shot; it returns None
    when none was due. `places` is how many shots may run here at once, and `running` returns how many do. `every_s` is
    the time between two polls in seconds.
    """

    def __init__(
        self,
        due_count: Callable[[int], int],
        run: Callable[[], Awaitable[str | None]],
        *,
        places: int,
        running: Callable[[], int],
        every_s: float,
    ) -> None:
        self._due_count = due_count
        self._run = run
        self._places = places
        self._running = running
        self._every_s = every_s
        self._runs: set[asyncio.Task[str | None]] = set()
        self._woken = asyncio.Event()
        self._spread_s = 0.0

    def wake(self, *, spread: bool = False) -> None:
        """Poll now; with `spread`, after a random delay of at most `SPREAD_S`. Call it in the event loop's thread."""
        self._spread_s = SPREAD_S if spread and not self._woken.is_set() else 0.0
        self._woken.set()

    async def forever(self) -> None:
        """Poll until the task is cancelled. An error of the store is logged, and the next poll tries again."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._woken.wait()
            if self._spread_s:
                await asyncio.sleep(uniform(0, self._spread_s))
            self._woken.clear()
            self._spread_s = 0.0
            # A run that was started here may go on elsewhere. It takes a place of all directors' places all the same.
            free = self._places - max(self._running(), len(self._runs))
            if free > 0:
                try:
                    due = await asyncio.to_thread(self._due_count, free)
                except Exception:
                    log.exception("the store did not answer the poll")
                    continue
                for _ in range(due):
                    self._start()

    def _start(self) -> None:
        run: asyncio.Task[str | None] = asyncio.create_task(self._once())
        self._runs.add(run)
        run.add_done_callback(self._ended)

    async def _once(self) -> str | None:
        return await self._run()

    def _ended(self, run: asyncio.Task[str | None]) -> None:
        self._runs.discard(run)
        if run.cancelled():
            return
        if (error := run.exception()) is not None:
            log.error("a run failed; the shot's state is in the store", exc_info=error)
        elif run.result() is not None:
            self.wake()  # its place is free, and more may wait
