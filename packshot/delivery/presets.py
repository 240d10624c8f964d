"""The delivery presets. The file presets.yaml holds each channel's rules, their source, their date and their expiry."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ConfigDict, model_validator

from packshot.contract.presets import PresetInfo, Rule, Severity
from packshot.delivery.naming import parse_template
from packshot.errors import BadInput

__all__ = ["Format", "Preset", "fill_for", "preset_named", "presets"]

Format = Literal["jpeg", "png", "webp"]
Background = Literal["white", "white_advised", "white_or_transparent_advised", "free"]

OWN_RULES: frozenset[Rule] = frozenset({"frame", "shape", "enlargement"})
"""Packshot's own rules. They refuse for a main image only."""

FILL_ABOVE = 0.03
"""How far above a channel's least fill products are placed: a soft edge does not count as product."""


class Preset(PresetInfo):
    """An entry of presets.yaml. Unknown fields, formats, rules and backgrounds are refused.

    A picture must meet `fill_min`; `fill_advised` only adds a note. `background: white` means exactly 255,255,255. A
    rule of `secondary` must have the severity `warn`.
    """

    model_config = ConfigDict(extra="forbid")

    formats: tuple[Format, ...]
    background: Background

    @model_validator(mode="after")
    def _adds_up(self) -> Preset:
        strict = [rule for rule in self.secondary if self.severity.get(rule) != "warn"]
        if strict:
            raise ValueError(f"a rule from a secondary source must warn, {', '.join(strict)} of {self.name} refuses")
        if self.file_name is not None:
            parse_template(self.file_name)
        return self

    def severity_of(self, rule: Rule) -> Severity:
        """Whether a breach of the rule refuses the delivery, or only warns."""
        usual: Severity = "warn" if rule in OWN_RULES and self.role != "main" else "refuse"
        return self.severity.get(rule, usual)

    def min_size_on(self, today: date) -> tuple[int, int]:
        """The smallest (width, height) in pixels on that day; 0 = no rule."""
        in_force = [(self.min_width_px or 0, self.min_height_px or 0)]
        in_force += [(change.min_width_px, change.min_height_px) for change in self.changes if change.since <= today]
        return max(width for width, _ in in_force), max(height for _, height in in_force)

    def name_note(self, name: str) -> str | None:
        """What the channel has against a file's name, else None."""
        found = sorted({character for character in name if character in self.file_name_without})
        if not found:
            return None
        shown = " and ".join("a space" if one == " " else f"`{one}`" for one in found)
        return f"{self.title}: names must not hold {shown}, got {name!r}; the channel's form is {self.file_name}"

    def expiry_note(self, today: date) -> str | None:
        """A warning if `today` is later than the date until which the rules are assumed to hold, else None."""
        if today <= self.expires:
            return None
        return f"the rules of {self.title} are of {self.dated} and expired on {self.expires}; check the channel's page"

    def on(self, today: date) -> Preset:
        """The preset with its `warning`, as lists show it on that day."""
        return self.model_copy(update={"warning": self.expiry_note(today)})


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


def demands_white(preset: Preset) -> bool:
    """Whether the channel refuses a file whose background is not exactly white: also one with a shadow."""
    return preset.background == "white" and preset.severity_of("background") == "refuse"


def fill_for(preset: PresetInfo) -> float:
    """The `fill` with which products span as much of the frame as the channel demands; 0 if it demands nothing."""
    return 0.0 if preset.fill_min is None else round(min(1.0, preset.fill_min + FILL_ABOVE), 2)
