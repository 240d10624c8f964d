"""Blocking calls run on worker threads, one on each; the event loop continues, and a hung call is visible."""

import asyncio
import threading
import time

import pytest

from deployments.ray_support.worker_threads import WorkerThreads


async def test_one_thread_does_one_call_at_a_time_and_the_loop_goes_on() -> None:
    threads, at_once, most = WorkerThreads("test", 1), 0, 0

    def work() -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.05)
        at_once -= 1
        return threading.current_thread().name

    calls = asyncio.gather(*(threads.run(work) for _ in range(4)))
    ticks = 0
    while not calls.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert len(set(await calls)) == 1
    assert most == 1
    assert ticks > 5


async def test_busy_tells_how_long_the_longest_call_has_run() -> None:
    threads, let_go = WorkerThreads("test", 2), threading.Event()
    assert threads.busy_s == 0
    call = asyncio.create_task(threads.run(let_go.wait, 10))
    await asyncio.sleep(0.1)
    assert 0.05 < threads.busy_s < 5
    let_go.set()
    assert await call
    assert threads.busy_s == 0


async def test_what_waits_for_a_cancelled_caller_is_dropped() -> None:
    threads, let_go = WorkerThreads("test", 1), threading.Event()
    ran: list[int] = []
    first = asyncio.create_task(threads.run(let_go.wait, 10))
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
    assert threads.busy_s == 0
