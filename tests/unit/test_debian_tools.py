"""A missing program is always reported: one line names it, and CI fails."""

import pytest

from tests.debian_tools import missing, missing_line


def reason_of(program: str) -> str:
    with pytest.raises(pytest.skip.Exception) as skipped:
        missing(program, "no such file")
    return str(skipped.value)


def test_a_missing_program_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PACKSHOT_REQUIRE_CHROMIUM", raising=False)
    assert "chromium" in reason_of("chromium")


def test_a_missing_program_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_REQUIRE_CHROMIUM", "1")
    with pytest.raises(pytest.fail.Exception, match="chromium"):
        missing("chromium", "no such file")


def test_one_line_names_every_missing_program(monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("CHROMIUM", "PROMTOOL"):
        monkeypatch.delenv(f"PACKSHOT_REQUIRE_{program}", raising=False)
    reasons = [reason_of("chromium"), reason_of("promtool"), reason_of("chromium"), "Skipped: needs a GPU"]
    line = missing_line(reasons)
    assert "chromium (2 tests), promtool (1 tests)" in line
    assert "make tools" in line
    assert missing_line(["Skipped: needs a GPU"]) == ""
