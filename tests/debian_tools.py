"""Programs of Debian's that tests drive: chromium, promtool, postgres. `make tools` installs them.

Where one is missing, its tests are skipped and the run's summary says so in one line; they fail where
`PACKSHOT_REQUIRE_<PROGRAM>=1` is set, as in CI.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

_MISSING = "not installed: "


def missing(program: str, why: str) -> NoReturn:
    """End this test: skipped, or failed where the program is required."""
    reason = f"{_MISSING}{program} ({why}); make tools installs it"
    if os.environ.get(f"PACKSHOT_REQUIRE_{program.upper()}"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def missing_line(skip_reasons: Iterable[str]) -> str:
    """What was left out for want of which programs; empty when nothing was."""
    tests = Counter(reason.split(_MISSING)[1].split()[0] for reason in skip_reasons if _MISSING in reason)
    programs = ", ".join(f"{program} ({count} tests)" for program, count in sorted(tests.items()))
    return f"NOT TESTED, because these programs are not installed: {programs}. Run: make tools" if programs else ""
