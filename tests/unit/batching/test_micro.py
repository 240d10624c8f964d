"""The micro-batcher accumulates while the model is busy, isolates failures and drops those who left."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from packshot.batching import MicroBatcher


class Gate:
    """A model that records its batches and holds each until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.release()
        self.go.acquire()
        return [item * 10 for item in items]

    async def wait_entered(self) -> None:
        await asyncio.to_thread(self.entered.acquire)


async def test_what_arrives_while_the_model_is_busy_is_the_next_batch() -> None:
    gate = Gate()
    batcher = MicroBatcher(gate, max_batch_size=8)
    first = asyncio.create_task(batcher.submit(1))
    await gate.wait_entered()
    rest = [asyncio.create_task(batcher.submit(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    assert batcher.waiting == 3
    gate.go.release(2)
    assert await first == 10
    assert await asyncio.gather(*rest) == [20, 30, 40]
    assert gate.batches == [[1], [2, 3, 4]]
    assert batcher.clock.busy_s == 0.0
    batcher.close()


async def test_items_of_another_key_keep_their_place() -> None:
    gate = Gate()
    batcher = MicroBatcher(gate, max_batch_size=2, key=lambda item: item % 2)
    tasks = [asyncio.create_task(batcher.submit(1))]
    await gate.wait_entered()
    tasks += [asyncio.create_task(batcher.submit(n)) for n in (2, 3, 4, 5, 6)]
    await asyncio.sleep(0)
    gate.go.release(9)
    await asyncio.gather(*tasks)
    assert gate.batches == [[1], [2, 4], [3, 5], [6]]
    batcher.close()


async def test_a_cancelled_item_is_never_run() -> None:
    gate = Gate()
    batcher = MicroBatcher(gate, max_batch_size=8)
    first = asyncio.create_task(batcher.submit(1))
    await gate.wait_entered()
    gone, kept = asyncio.create_task(batcher.submit(2)), asyncio.create_task(batcher.submit(3))
    await asyncio.sleep(0)
    gone.cancel()
    gate.go.release(2)
    await first
    assert await kept == 30
    assert gate.batches == [[1], [3]]
    batcher.close()


async def test_only_the_culprit_of_a_failed_batch_fails() -> None:
    def run(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ValueError("unlucky")
        return [item + 1 for item in items]

    batcher = MicroBatcher(run, max_batch_size=8)
    results = await asyncio.gather(*(batcher.submit(n) for n in (1, 13, 2)), return_exceptions=True)
    assert results[0] == 2
    assert results[2] == 3
    assert isinstance(results[1], ValueError)
    batcher.close()


async def test_a_returned_exception_is_raised_for_its_item() -> None:
    def run(items: Sequence[int]) -> list[int | Exception]:
        return [KeyError(item) for item in items]

    batcher = MicroBatcher(run, max_batch_size=4)
    with pytest.raises(KeyError):
        await batcher.submit(1)
    batcher.close()
