"""`packshot presets` lists every channel, and says when its rules have expired."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from packshot.cli import app
from packshot.cli import presets as command
from packshot.delivery.presets import presets

DOC = Path(__file__).parents[3] / "docs/integrator.md"


class LaterDate(date):
    """A calendar on which every preset has expired."""

    @classmethod
    def today(cls) -> LaterDate:
        return cls(2028, 1, 1)


def test_every_preset_is_listed_and_documented() -> None:
    result = CliRunner().invoke(app, ["presets", "--json"])
    assert result.exit_code == 0
    listed = json.loads(result.stdout.splitlines()[-1])["presets"]
    assert [row["name"] for row in listed] == [preset.name for preset in presets()]
    text = DOC.read_text(encoding="utf-8")
    for preset in presets():
        assert preset.name in result.stderr
        assert f"`{preset.name}`" in text


def test_expired_rules_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "date", LaterDate)
    result = CliRunner().invoke(app, ["presets", "--json"])
    assert all(row["warning"] for row in json.loads(result.stdout.splitlines()[-1])["presets"])
    assert "packshot: the rules of eBay are of 2026-11-01 and expired on 2027-05-01" in result.stderr
