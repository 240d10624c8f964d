"""The delivery presets: marketplaces' rules as data, with source, date and expiry (presets.yaml)."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from packshot.errors import BadInput

__all__ = ["Preset", "preset_named", "presets"]

Format = Literal["jpeg", "png", "webp"]
Background = Literal["white", "white_advised", "white_or_transparent_advised", "free"]


class Preset(BaseModel):
    """One channel's rules for a main image. None = the channel has no such rule.

    `formats`: ours that the channel takes, preferred first. `aspect`: width to height. `fill_min` is demanded and
    `fill_advised` advised: the product's longer extent over the frame's, 0..1. `background: white` = exactly
    255,255,255. `digital_source_type`: what a generated scene is labelled with (IPTC), None = no label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    source: str
    dated: date
    expires: date
    formats: tuple[Format, ...]
    min_longest_px: int | None = None
    min_width_px: int | None = None
    min_height_px: int | None = None
    max_longest_px: int | None = None
    max_pixels: int | None = None
    advised_longest_px: int
    larger_is_fine: bool = False
    aspect: tuple[int, int] | None = None
    fill_min: float | None = None
    fill_advised: tuple[float, float] | None = None
    background: Background
    max_bytes: int
    digital_source_type: str | None = (
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    )
    advice: str = ""

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
