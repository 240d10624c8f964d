"""The verdict of an image's inspection, and its findings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warning", "failed"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "failed")
"""The levels, best first."""

MAX_ENLARGEMENT = 2.0
"""Pixels that are enlarged by more than this factor look soft. Inspection warns, and delivery enlarges no further."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    `check` is the check's name, and `detail` is a sentence that describes the result. `value` is the number that the
    check measured, or None.
    """

    check: str
    level: Level
    detail: str
    value: float | None = None


@dataclass(frozen=True)
class Verdict:
    """All findings about an image. `level` is the worst level of all findings, or `ok` without findings."""

    findings: tuple[Finding, ...] = ()

    @property
    def level(self) -> Level:
        return max((finding.level for finding in self.findings), key=LEVELS.index, default="ok")

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON, in the form that the store keeps and the API returns."""
        return {"level": self.level, "findings": [asdict(finding) for finding in self.findings]}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Verdict:
        """The verdict of `to_json`'s form."""
        return cls(tuple(Finding(**finding) for finding in stored.get("findings", ())))
