"""The micro-batcher. One thread runs one model; each batch holds the items that wait when the thread becomes free."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from packshot.batching.clock import CallClock

In = TypeVar("In")
Out = TypeVar("Out")


class MicroBatcher(Generic[In, Out]):
    """Call `run` with batches of up to `max_batch_size` items that have the same `key`, the oldest item's key first.

    `run` is called in one thread, never concurrently. It returns one value for each item; an exception among the values
    is raised to that item's caller only. When `run` raises for a whole batch, each item of the batch is run again by
    itself, so that only the item that causes the error fails. An item whose caller was cancelled before its batch
    started is not run. `thread` is the thread that owns the model (`packshot.models.device.model_thread`); without it
    the batcher starts a thread. Use a MicroBatcher from one event loop only.
    """

    def __init__(
        self,
        run: Callable[[Sequence[In]], Sequence[Out | Exception]],
        *,
        max_batch_size: int,
        key: Callable[[In], Hashable] = lambda item: None,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self.max_batch_size = max_batch_size
        self._run = run
        self._key = key
        self._waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="model")
        self._worker: asyncio.Task[None] | None = None
        self.clock = CallClock()

    async def submit(self, item: In) -> Out:
        """Return the item's result. If the caller is cancelled before the item's batch starts, the item is dropped."""
        future: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain(), context=contextvars.Context())
        return await future

    @property
    def waiting(self) -> int:
        """The number of items that have not started."""
        return len(self._waiting)

    def close(self) -> None:
        """Stop the thread after its current batch."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _take(self) -> list[tuple[In, asyncio.Future[Out]]]:
        """Remove and return the next batch, in order of arrival. Items with another key stay in the queue, in place."""
        batch: list[tuple[In, asyncio.Future[Out]]] = []
        skipped: deque[tuple[In, asyncio.Future[Out]]] = deque()
        while self._waiting and len(batch) < self.max_batch_size:
            item, future = self._waiting.popleft()
            if future.done():
                continue
            if batch and self._key(item) != self._key(batch[0][0]):
                skipped.append((item, future))
            else:
                batch.append((item, future))
        self._waiting.extendleft(reversed(skipped))
        return batch

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._take():
            with self.clock.call():
                results = await loop.run_in_executor(self._thread, self._run_isolated, [item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _run_isolated(self, items: Sequence[In]) -> Sequence[Out | Exception]:
        try:
            return self._run(items)
        except Exception as error:  # noqa: BLE001 - any error of the model is raised to the item's caller
            if len(items) == 1:
                return [error]
            return [self._run_isolated([item])[0] for item in items]
