"""Amounts of work on the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from packshot.contract.status import Priority


@dataclass(frozen=True)
class Load:
    """The work of a set of shots. `row_steps` counts each denoising step once for each batch row."""

    shots: int = 0
    pictures: int = 0
    row_steps: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(self.shots + other.shots, self.pictures + other.pictures, self.row_steps + other.row_steps)


@dataclass(frozen=True)
class Flow:
    """The load of one priority: shots that are queued, that run, and that were accepted since the previous query."""

    waiting: Load = Load()
    running: Load = Load()
    arrived: Load = Load()

    def __add__(self, other: Flow) -> Flow:
        return Flow(self.waiting + other.waiting, self.running + other.running, self.arrived + other.arrived)


@dataclass(frozen=True)
class QueueLoad:
    """The load of the queue. Pass `last_seq` to the next query, so that `arrived` counts each shot once.

    `engines` are the parts of the load that each engine has to paint. What older code accepted is in none of them.
    """

    last_seq: int
    interactive: Flow
    catalogue: Flow
    engines: Mapping[str, Mapping[Priority, Flow]] = field(default_factory=dict)
