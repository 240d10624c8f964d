"""The delivery presets. The file presets.yaml holds each channel's rules, their source, their date and their expiry."""

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
    """An entry of presets.yaml. Unknown fields, formats and backgrounds are refused.

    A picture must meet `fill_min`; `fill_advised` only adds a note. `background: white` means exactly 255,255,255.
    """

    model_config = ConfigDict(extra="forbid")

    formats: tuple[Format, ...]
    background: Background

    def expiry_note(self, today: date) -> str | None:
        """A warning if `today` is later than the date until which the rules are assumed to hold, else None."""
        if today <= self.expires:
            return None
        return f"the rules of {self.title} are of {self.dated} and expired on {self.expires}; check the channel's page"


@cache
def _all() -> tuple[Preset, ...]:
    rows = yaml.safe_load(Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8"))
    return tuple(Preset.model_validate(row) for row in rows)


def presets() -> list[Preset]:
    """All presets, in the order of presets.yaml."""
    return list(_all())


def preset_named(name: str) -> Preset:
    """The preset with that name. Raises BadInput (unknown_preset) when there is none."""
    for preset in _all():
        if preset.name == name:
            return preset
    known = ", ".join(preset.name for preset in _all())
    raise BadInput("unknown_preset", f"a preset must be one of {known}, got {name[:60]!r}; GET /v1/presets lists them")
