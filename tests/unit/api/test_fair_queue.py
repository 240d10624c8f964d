"""FairQueue at the decoder: fair between tenants, bounded, and none is lost."""

import asyncio

import pytest

from packshot.api.fair_queue import FairQueue
from packshot.errors import Overloaded


def test_a_long_line_of_one_tenant_delays_another_by_one_turn() -> None:
    async def run() -> list[str]:
        queue, order = FairQueue(1, 64, 32), []

        async def upload(tenant: str) -> None:
            async with queue.slot(tenant):
                order.append(tenant)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for tenant in ["a"] * 10 + ["b", "b", "c"]:
                group.create_task(upload(tenant))
        return order

    order = asyncio.run(run())
    assert order[0] == "a"
    assert sorted(order[1:4]) == ["a", "b", "c"]
    assert order.count("a") == 10
    assert order.index("b", order.index("b") + 1) <= 5


def test_with_several_slots_no_tenant_takes_what_another_waits_for() -> None:
    async def run() -> list[str]:
        queue, started = FairQueue(2, 64, 32), []
        holds = [asyncio.Event() for _ in range(5)]

        async def upload(tenant: str, hold: asyncio.Event) -> None:
            async with queue.slot(tenant):
                started.append(tenant)
                await hold.wait()

        async with asyncio.TaskGroup() as group:
            for tenant, hold in zip("aaaab", holds, strict=True):
                group.create_task(upload(tenant, hold))
                await asyncio.sleep(0)
            holds[0].set()  # one of a's two ends: b is next, although a waits longer
            while len(started) < 3:  # noqa: ASYNC110 - nothing tells when it holds
                await asyncio.sleep(0)
            seen = list(started)
            for hold in holds:
                hold.set()
        return seen

    assert asyncio.run(run()) == ["a", "a", "b"]


def test_too_many_waiting_are_refused_by_tenant_and_in_all() -> None:
    async def run() -> None:
        queue = FairQueue(1, 3, 2)
        async with queue.slot("a"), asyncio.TaskGroup() as group:
            waiting = [group.create_task(_enter(queue, tenant)) for tenant in "aab"]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="At most 2 uploads of a tenant"):
                await _enter(queue, "a")
            with pytest.raises(Overloaded, match="At most 3 uploads may wait"):
                await _enter(queue, "c")
            for task in waiting:
                task.cancel()

    asyncio.run(run())


def test_a_waiting_request_that_is_cancelled_leaves_the_line_and_loses_no_slot() -> None:
    async def run() -> None:
        queue = FairQueue(1, 64, 32)
        async with queue.slot("a"):
            gone = asyncio.create_task(_enter(queue, "b"))
            raced = asyncio.create_task(_enter(queue, "c"))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        raced.cancel()  # its turn has just come
        await asyncio.gather(raced, return_exceptions=True)
        async with asyncio.timeout(60):
            await _enter(queue, "d")

    asyncio.run(run())


async def _enter(queue: FairQueue, tenant: str) -> None:
    async with queue.slot(tenant):
        pass
