"""The delivery presets: marketplaces' rules as data, with source, date and expiry (presets.yaml)."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ConfigDict

from packshot.contract.presets import PresetInfo
from packshot.errors import BadInput

__all__ = ["Preset", "preset_named", "presets"]

Format = Literal["jpeg", "png", "webp"]
Background = Literal["white", "white_advised", "white_or_transparent_advised", "free"]


class Preset(PresetInfo):
    """A preset as presets.yaml has it, with our own formats and backgrounds. Unknown fields are refused.

    `fill_min` is demanded and `fill_advised` advised. `background: white` = exactly 255,255,255.
    """

    model_config = ConfigDict(extra="forbid")

    formats: tuple[Format, ...]
    background: Background

    def expiry_note(self, today: date) -> str | None:
        """A warning once the rules are older than they promise to be true."""
        if today <= self.expires:
            return None
        return f"the rules of {self.title} were noted on {self.dated} and ran out on {self.expires}: look them up"


@cache
def _all() -> tuple[Preset, ...]:
    rows = yaml.safe_load(Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8"))
    return tuple(Preset.model_validate(row) for row in rows)


def presets() -> list[Preset]:
    """Every preset, in the file's order."""
    return list(_all())


def preset_named(name: str) -> Preset:
    """The preset of that name; BadInput (unknown_preset) when there is none."""
    for preset in _all():
        if preset.name == name:
            return preset
    known = ", ".join(preset.name for preset in _all())
    raise BadInput("unknown_preset", f"a preset must be one of {known}, got {name[:60]!r}; GET /v1/presets lists them")
