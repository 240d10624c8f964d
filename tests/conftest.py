"""Settings for every test: one OpenMP thread that does not spin, for small networks on a busy machine."""

import os

import pytest

from tests.debian_tools import missing_line

os.environ.setdefault("OMP_NUM_THREADS", "1")  # replicas set their own number
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line about the tests that were skipped because a program is missing."""
    reports = terminalreporter.stats.get("skipped", [])
    if line := missing_line(report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple)):
        terminalreporter.write_sep("!", line, red=True, bold=True)
