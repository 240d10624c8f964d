"""The proof of text on two drawn labels: the bench's smallest run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import text_gate


def test_a_changed_digit_is_found_and_an_unchanged_label_is_not_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text_gate.main(["--changed", "1", "--unchanged", "1", "--seed", "3", "--out", str(tmp_path)])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["found"], found["doubted"]) == (1, 0)
    assert list(tmp_path.iterdir()) == [], "a miss leaves a sheet"
