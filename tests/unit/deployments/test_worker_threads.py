"""Blocking calls run on worker threads, one on each; the event loop continues, and a hung call is visible."""

import asyncio
import threading

import pytest

from deployments.ray_support.worker_threads import WorkerThreads
from tests.waiting import WAIT_S


async def test_one_thread_does_one_call_at_a_time_and_the_loop_goes_on() -> None:
    threads, at_once, most = WorkerThreads("test", 1), 0, 0
    let_go = threading.Semaphore(0)

    def work() -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        let_go.acquire()
        at_once -= 1
        return threading.current_thread().name

    calls = [asyncio.create_task(threads.run(work)) for _ in range(4)]
    for call in calls:
        for _ in range(5):
            await asyncio.sleep(0.001)  # the loop goes on although a call blocks its thread
        assert not call.done()
        let_go.release()
        await call
    assert len({call.result() for call in calls}) == 1
    assert most == 1


async def test_busy_tells_how_long_the_longest_call_has_run() -> None:
    threads, let_go = WorkerThreads("test", 2), threading.Event()
    assert threads.clock.busy_s == 0
    begun = threading.Event()

    def work() -> bool:
        begun.set()
        return let_go.wait(WAIT_S)

    call = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(begun.wait)
    before_s = threads.clock.busy_s
    await asyncio.sleep(0.01)
    assert threads.clock.busy_s > before_s
    let_go.set()
    assert await call
    assert threads.clock.busy_s == 0


async def test_what_waits_for_a_cancelled_caller_is_dropped() -> None:
    threads, let_go = WorkerThreads("test", 1), threading.Event()
    ran: list[int] = []
    first = asyncio.create_task(threads.run(let_go.wait, WAIT_S))
    waiting = asyncio.create_task(threads.run(ran.append, 1))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    let_go.set()
    await first
    await threads.run(ran.append, 2)
    assert ran == [2]


async def test_an_error_reaches_the_caller_and_frees_the_thread() -> None:
    threads = WorkerThreads("test", 1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    assert threads.clock.busy_s == 0
