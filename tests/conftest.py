"""Settings for every test: one OpenMP thread that does not spin, for small networks on a busy machine; temporary
folders in memory; and nothing that collection imports is traversed by the garbage collector."""

import gc
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.debian_tools import missing_line

os.environ.setdefault("OMP_NUM_THREADS", "1")  # replicas set their own number
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

MEMORY = Path("/dev/shm")  # the folder that Linux keeps in memory
ROOM_BYTES = 4 * 2**30
"""Several times what the folders of the whole suite hold."""

if MEMORY.is_dir() and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
    # The store waits for the disk at each commit.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """A million objects are made, and few of them are garbage: collect none meanwhile, and leave them alone later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Let the interpreter's end find everything: libraries complain of what it leaves."""
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line about the tests that were skipped because a program is missing."""
    reports = terminalreporter.stats.get("skipped", [])
    if line := missing_line(report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple)):
        terminalreporter.write_sep("!", line, red=True, bold=True)
