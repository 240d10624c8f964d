"""What inspection found about an image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warning", "failed"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "failed")
"""From best to worst."""

MAX_ENLARGEMENT = 2.0
"""Pixels that are enlarged by more than this look soft: inspection warns, and a delivery does not enlarge further."""


@dataclass(frozen=True)
class Finding:
    """One thing that inspection found. `value`: the measured number behind `detail`, where there is one."""

    check: str
    level: Level
    detail: str
    value: float | None = None


@dataclass(frozen=True)
class Verdict:
    """All findings about an image. Its level is the level of its worst finding."""

    findings: tuple[Finding, ...] = ()

    @property
    def level(self) -> Level:
        return max((finding.level for finding in self.findings), key=LEVELS.index, default="ok")

    def to_json(self) -> dict[str, Any]:
        """The stored form, which is also the form of an answer."""
        return {"level": self.level, "findings": [asdict(finding) for finding in self.findings]}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Verdict:
        """Read `to_json`'s form."""
        return cls(tuple(Finding(**finding) for finding in stored.get("findings", ())))
