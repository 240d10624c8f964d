"""The server that runs on this machine: where it says so, and how a command finds it.

`packshot serve` holds the lock PACKSHOT_HOME/server.lock while it runs and writes PACKSHOT_HOME/server.json. The
operating system frees the lock with the process, however that ends, so a left-over file misleads nobody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import packshot

__all__ = ["LOG", "Running", "announced", "find_running"]

LOG = "server.log"
"""The log of a server that `packshot up` started, in PACKSHOT_HOME."""

_FILE, _LOCK = "server.json", "server.lock"
_LOCK_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Running:
    """A running server: its base URL, its process, its version, and whether it needs no key."""

    url: str
    pid: int
    version: str
    opened: bool


@contextmanager
def announced(home: Path, url: str, *, opened: bool) -> Iterator[bool]:
    """Say for the length of the block that this process serves `url`. Gives False when another server does already."""
    from filelock import FileLock, Timeout

    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / _LOCK)
    try:
        lock.acquire(timeout=_LOCK_TIMEOUT_S)
    except Timeout:
        yield False
        return
    file = home / _FILE
    try:
        file.write_text(json.dumps(asdict(Running(url, os.getpid(), packshot.__version__, opened))), "utf-8")
        yield True
    finally:
        file.unlink(missing_ok=True)
        lock.release()


def find_running(home: Path) -> Running | None:
    """The server that runs on this machine with this PACKSHOT_HOME, or None."""
    file = home / _FILE
    if not file.is_file():
        return None
    from filelock import FileLock, Timeout

    with suppress(Timeout), FileLock(home / _LOCK, timeout=0):
        return None  # nobody holds it: the file is left over
    with suppress(OSError, ValueError, TypeError):
        return Running(**json.loads(file.read_text("utf-8")))
    return None
