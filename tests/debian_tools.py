"""Debian's programs that tests use: chromium, promtool, postgres, exiftool. `make tools` installs them.

When a program is missing, its tests are skipped and the summary has one line about it. With
`PACKSHOT_REQUIRE_<PROGRAM>=1`, as in CI, they fail instead.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

_MISSING = "not installed: "


def missing(program: str, why: str) -> NoReturn:
    """Skip this test, or fail it when the program is required."""
    reason = f"{_MISSING}{program} ({why}); make tools installs it"
    if os.environ.get(f"PACKSHOT_REQUIRE_{program.upper()}"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def missing_line(skip_reasons: Iterable[str]) -> str:
    """The summary's line about skipped tests and missing programs; empty when none was skipped."""
    tests = Counter(reason.split(_MISSING)[1].split()[0] for reason in skip_reasons if _MISSING in reason)
    programs = ", ".join(f"{program} ({count} tests)" for program, count in sorted(tests.items()))
    return f"NOT TESTED, because these programs are not installed: {programs}. Run: make tools" if programs else ""
