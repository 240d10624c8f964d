"""Shows on stderr what a command waits for: bars and spinners on a terminal, lines elsewhere.

A pipe or a log file gets a line when a piece of work begins, one every EVERY_S seconds while it lasts, and one at its
end, so that a silent command is never mistaken for a hung one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from packshot.cli.console import stderr

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["Progress", "waiting"]

EVERY_S = 10.0
"""Seconds between two lines about the same work, where stderr is not a terminal."""


@contextmanager
def waiting(what: str, *, every_s: float = EVERY_S) -> Iterator[None]:
    """Say `what` the command waits for, for as long as the block runs."""
    console = stderr()
    if console.is_terminal:
        with console.status(f"{what} …"):
            yield
        return
    console.print(f"packshot: {what} …", markup=False, soft_wrap=True)
    started_at, ended = time.monotonic(), threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            spent_s = time.monotonic() - started_at
            console.print(f"packshot: still {what}, {spent_s:.0f} s …", markup=False, soft_wrap=True)

    reporter = threading.Thread(target=repeat, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        ended.set()
        reporter.join()


class Progress:
    """The state of several pieces of work at once, each under its own key. Its methods may be called in any thread."""

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._console = stderr()
        self._every_s = every_s
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
        self._bars = Bars(*columns, TimeElapsedColumn(), console=self._console) if self._console.is_terminal else None
        self._tasks: dict[str, TaskID] = {}
        self._said_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
        """Set the state of the work `key`: words, and how much of it is done. A line is printed at most every EVERY_S
        seconds, and for new work."""
        with self._lock:
            if self._bars is not None:
                if key not in self._tasks:
                    self._tasks[key] = self._bars.add_task(_plain(key), total=None, state="")
                self._bars.update(self._tasks[key], completed=done, total=total, state=_plain(state))
            elif time.monotonic() - self._said_at.get(key, float("-inf")) >= self._every_s:
                self._said_at[key] = time.monotonic()
                self._console.print(f"packshot: {key}: {state}", markup=False, soft_wrap=True)

    def print(self, line: str) -> None:
        """Print a line at once, above the bars."""
        with self._lock:
            self._console.print(f"packshot: {line}", markup=False, soft_wrap=True)

    def end(self, key: str, line: str) -> None:
        """Print a line about the end of the work `key`, and remove its bar."""
        with self._lock:
            self._said_at.pop(key, None)
            if self._bars is not None and key in self._tasks:
                self._bars.remove_task(self._tasks.pop(key))
            self._console.print(f"packshot: {line}", markup=False, soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
