"""The poll for due shots: as many runs as places are free, refilled as they end, and woken before its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from packshot.shots import DuePoll, due_poll


class Line:
    """A queue of `waiting` shots. Each run takes one, and ends when `done` is set."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.running = self.most = self.runs = 0
        self.asked: list[int] = []
        self.done = asyncio.Event()

    def due_count(self, most: int) -> int:
        self.asked.append(most)
        return min(most, self.waiting)

    async def run(self) -> str | None:
        self.runs += 1
        if self.waiting == 0:
            return None
        self.waiting -= 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.done.wait()
        finally:
            self.running -= 1
        return "sh"


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not holds():  # noqa: ASYNC110 - nothing tells when it holds
            await asyncio.sleep(0.001)


def poll_of(line: Line, places: int, every_s: float) -> DuePoll:
    return DuePoll(line.due_count, line.run, places=places, running=lambda: line.running, every_s=every_s)


def test_twenty_thousand_due_shots_start_no_more_runs_than_places() -> None:
    async def check() -> None:
        line = Line(20_000)
        polling = asyncio.create_task(poll_of(line, places=6, every_s=0.001).forever())
        await _until(lambda: line.running == 6)
        asked = len(line.asked)
        await asyncio.sleep(0.1)
        assert (line.runs, line.most, len(line.asked)) == (6, 6, asked)  # and nothing asks while no place is free
        assert max(line.asked) == 6
        polling.cancel()

    asyncio.run(check())


def test_a_place_that_becomes_free_is_filled_at_once() -> None:
    async def check() -> None:
        line = Line(50)
        poll = poll_of(line, places=4, every_s=3600)
        polling = asyncio.create_task(poll.forever())
        poll.wake()
        await _until(lambda: line.running == 4)
        line.done.set()  # from now on, each run ends at once
        await _until(lambda: line.waiting == 0)  # although no poll is due for an hour
        assert line.most == 4
        polling.cancel()

    asyncio.run(check())


def test_shots_that_others_started_here_take_places_too() -> None:
    async def check() -> None:
        line = Line(10)
        line.running = 5
        poll = poll_of(line, places=6, every_s=3600)
        polling = asyncio.create_task(poll.forever())
        poll.wake()
        await _until(lambda: line.runs == 1)
        assert line.asked == [1]
        polling.cancel()

    asyncio.run(check())


def test_a_store_that_does_not_answer_and_a_run_that_fails_do_not_end_the_poll(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def check() -> None:
        line = Line(2)
        counts: list[int | OSError] = [OSError("gone"), 1, 1]
        runs: list[str | RuntimeError] = [RuntimeError("broken"), "sh"]

        def due_count(most: int) -> int:
            answer = counts.pop(0) if counts else 0
            if isinstance(answer, OSError):
                raise answer
            return answer

        async def run() -> str | None:
            answer = runs.pop(0)
            if isinstance(answer, RuntimeError):
                raise answer
            return answer

        poll = DuePoll(due_count, run, places=1, running=lambda: 0, every_s=0.001)
        polling = asyncio.create_task(poll.forever())
        await _until(lambda: not runs and not counts)
        assert not polling.done()
        polling.cancel()
        assert line.runs == 0

    asyncio.run(check())
    assert "the store did not answer the poll" in caplog.text
    assert "a run failed" in caplog.text


def test_a_notification_spreads_the_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        delays = []

        def uniform(low: float, high: float) -> float:
            delays.append((low, high))
            return 0.0

        monkeypatch.setattr(due_poll, "uniform", uniform)
        line = Line(1)
        poll = poll_of(line, places=1, every_s=3600)
        polling = asyncio.create_task(poll.forever())
        poll.wake(spread=True)
        await _until(lambda: line.running == 1)
        assert delays == [(0, due_poll.SPREAD_S)]
        polling.cancel()

    asyncio.run(check())
