"""One row of the attack: what was tried, what was seen, and whether the property held."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

Figures = dict[str, float | int | str]


@dataclass(frozen=True)
class Row:
    """`tried` counts the attempts, and `seen` holds the figures. `held` says whether the `rule` was kept."""

    name: str
    rule: str
    tried: int
    held: bool
    seen: Figures

    def line(self) -> str:
        """The row as one line of JSON."""
        return json.dumps(asdict(self))

    def shown(self) -> str:
        """The row for the table."""
        seen = ", ".join(f"{name} {value}" for name, value in self.seen.items())
        return f"{'held' if self.held else 'FAILED':7} {self.name:10} {self.tried:7} tried; {self.rule}: {seen}"
