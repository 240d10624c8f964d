"""One poll of the store serves all waiters."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from packshot.api.watch import Watch
from tests.waiting import WAIT_S

pytestmark = pytest.mark.asyncio


class Shelf:
    """A store with the shots a..z of the tenant `t`, which records its queries."""

    def __init__(self) -> None:
        self.looks: list[list[tuple[str, str]]] = []
        self.broken: Exception | None = None

    def watch(self, wanted: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        self.looks.append(sorted(wanted))
        if self.broken is not None:
            raise self.broken
        return {(tenant, one): f"{tenant}/{one}" for tenant, one in wanted if tenant == "t"}


class Ends:
    """A graph that reports an ended shot when the test sets `event`."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def wait_for_any_completion(self, timeout_s: float) -> None:
        await self.event.wait()
        self.event.clear()


@pytest.fixture
def desk() -> SimpleNamespace:
    shelf: Any = Shelf()
    ends: Any = Ends()
    return SimpleNamespace(shelf=shelf, ends=ends, watch=Watch(shelf, ends))


async def asked(*calls: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Start these calls and return their tasks when each of them waits."""
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


async def test_all_who_wait_share_a_look_and_get_their_own(desk: SimpleNamespace) -> None:
    waiters = await asked(
        desk.watch.next("t", ["b", "a"]), desk.watch.next("t", ["c"]), desk.watch.next("stranger", ["a"])
    )
    desk.ends.event.set()
    assert await asyncio.gather(*waiters) == [["t/b", "t/a"], ["t/c"], []]
    assert desk.shelf.looks == [[("stranger", "a"), ("t", "a"), ("t", "b"), ("t", "c")]]


async def test_nobody_looks_when_nobody_waits(desk: SimpleNamespace) -> None:
    waiters = await asked(desk.watch.next("t", ["a"]))
    desk.ends.event.set()
    await asyncio.gather(*waiters)
    await asyncio.wait_for(desk.watch._polling, WAIT_S)
    assert len(desk.shelf.looks) == 1


async def test_who_has_left_is_not_looked_for(desk: SimpleNamespace) -> None:
    leaver, stayer = await asked(desk.watch.next("t", ["a"]), desk.watch.next("t", ["b"]))
    leaver.cancel()
    await asyncio.sleep(0)
    desk.ends.event.set()
    assert await stayer == ["t/b"]
    assert desk.shelf.looks == [[("t", "b")]]


async def test_a_look_that_fails_is_told_to_all_and_the_next_is_made(desk: SimpleNamespace) -> None:
    desk.shelf.broken = OSError("the database is away")
    waiters = await asked(desk.watch.next("t", ["a"]), desk.watch.next("t", ["b"]))
    desk.ends.event.set()
    told = await asyncio.gather(*waiters, return_exceptions=True)
    assert [str(error) for error in told] == ["the database is away"] * 2
    desk.shelf.broken = None
    [again] = await asked(desk.watch.next("t", ["a"]))
    desk.ends.event.set()
    assert await again == ["t/a"]
