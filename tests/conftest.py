"""Settings for every test: one OpenMP thread that does not spin, for small networks on a busy machine; and nothing
that collection imports is traversed by the garbage collector."""

import gc
import os
from collections.abc import Generator

import pytest

from tests.debian_tools import missing_line

os.environ.setdefault("OMP_NUM_THREADS", "1")  # replicas set their own number
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """A million objects are made, and few of them are garbage: collect none meanwhile, and leave them alone later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line about the tests that were skipped because a program is missing."""
    reports = terminalreporter.stats.get("skipped", [])
    if line := missing_line(report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple)):
        terminalreporter.write_sep("!", line, red=True, bold=True)
