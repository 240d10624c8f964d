"""One computation per key, however many ask; the cache counts bytes."""

import asyncio

import pytest

from packshot.batching import SingleFlight


async def test_sixteen_racers_compute_once() -> None:
    calls = 0

    async def compute() -> bytes:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return b"value"

    cache = SingleFlight(100, len)
    assert await asyncio.gather(*(cache.get("a", compute) for _ in range(16))) == [b"value"] * 16
    assert calls == 1
    assert cache.hits == 15
    assert cache.bytes == 5


async def test_the_first_racer_may_leave_without_harm_to_the_others() -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def compute() -> bytes:
        started.set()
        await go.wait()
        return b"value"

    cache = SingleFlight(100, len)
    first = asyncio.create_task(cache.get("a", compute))
    await started.wait()
    second = asyncio.create_task(cache.get("a", compute))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == b"value"


async def test_the_least_recently_used_goes_first() -> None:
    cache = SingleFlight(10, len)

    async def value() -> bytes:
        return b"12345"

    await cache.get("a", value)
    await cache.get("b", value)
    await cache.get("a", value)
    await cache.get("c", value)
    assert list(cache._kept) == ["a", "c"]
    assert cache.bytes == 10
    cache.resize(0)
    assert cache.bytes == 0


async def test_a_failure_is_told_and_not_kept() -> None:
    async def fail() -> bytes:
        raise OSError("disk")

    async def succeed() -> bytes:
        return b"ok"

    cache = SingleFlight(10, len)
    with pytest.raises(OSError, match="disk"):
        await cache.get("a", fail)
    assert await cache.get("a", succeed) == b"ok"
