"""The micro-batcher: one model, one thread, batches of whatever is waiting when the thread is free."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class MicroBatcher(Generic[In, Out]):
    """Run `run` over batches of up to `max_batch_size` items that share a `key`, oldest item's key first.

    `run` is called in one thread of its own, never twice at once, and returns one value per item; a returned exception
    is raised for that item alone. When `run` raises for a batch, its items are run one by one, so that only the
    culprit fails. An item whose caller went away before its batch started is never run. `thread`: the model's
    (`packshot.models.device.model_thread`); a new one otherwise. Use it from one event loop.
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
        self._started_at: float | None = None

    async def submit(self, item: In) -> Out:
        """The item's result. Cancelling drops the item if it has not started."""
        answer: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        return await answer

    @property
    def waiting(self) -> int:
        """Items not started yet."""
        return len(self._waiting)

    @property
    def busy_s(self) -> float:
        """Seconds that the batch in the model has run; 0 when the model is free. A health check reads it."""
        return 0.0 if self._started_at is None else time.monotonic() - self._started_at

    def close(self) -> None:
        """Let the thread end after its batch."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _take(self) -> list[tuple[In, asyncio.Future[Out]]]:
        """The next batch, in order of arrival; what has another key keeps its place."""
        batch: list[tuple[In, asyncio.Future[Out]]] = []
        others: deque[tuple[In, asyncio.Future[Out]]] = deque()
        while self._waiting and len(batch) < self.max_batch_size:
            item, answer = self._waiting.popleft()
            if answer.done():
                continue
            if batch and self._key(item) != self._key(batch[0][0]):
                others.append((item, answer))
            else:
                batch.append((item, answer))
        self._waiting.extendleft(reversed(others))
        return batch

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._take():
            self._started_at = time.monotonic()
            try:
                results = await loop.run_in_executor(self._thread, self._run_isolated, [item for item, _ in batch])
            finally:
                self._started_at = None
            for (_, answer), result in zip(batch, results, strict=True):
                if answer.done():
                    continue
                if isinstance(result, Exception):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)

    def _run_isolated(self, items: Sequence[In]) -> Sequence[Out | Exception]:
        try:
            return self._run(items)
        except Exception as error:  # noqa: BLE001 - whatever a model raises belongs to the caller of its item
            if len(items) == 1:
                return [error]
            return [self._run_isolated([item])[0] for item in items]
