"""Threads for calls that would block a replica's event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from packshot.batching.clock import CallClock

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class WorkerThreads:
    """Runs blocking calls on `threads` threads. Further calls wait in order of arrival.

    `name` is the prefix of the threads' names. A waiting call whose caller is cancelled does not run. A running call
    whose caller is cancelled runs to its end, and its result is dropped.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.clock = CallClock()

    async def run(self, call: Callable[Arguments, Result], *args: Arguments.args, **named: Arguments.kwargs) -> Result:
        """Run `call` on a thread and return its result."""

        def timed() -> Result:
            with self.clock.call():
                return call(*args, **named)

        return await asyncio.get_running_loop().run_in_executor(self._pool, contextvars.copy_context().run, timed)
