"""Which rows take the next step when more want to than one step should carry. Pure: no clock, no thread, no Ray.

The most urgent row goes first, and its size decides the step: rows of other sizes cannot share it. What room is left
goes to the next most urgent rows of that size. Urgency, in seconds, low first:

    work left, in seconds of steps            shortest remaining first: most scenes end soonest
    + `catalogue_s` for catalogue work        a person waits for the others
    - `ageing` × seconds waited               so nothing starves: all urgencies sink, the oldest farthest

PendingScene that waits long enough overtakes any newcomer: a catalogue row of w seconds goes before a fresh interactive
row of v after (w - v + catalogue_s) / ageing seconds at the latest.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar


class PendingScene(Protocol):
    """A scene that wants steps. `rows`: rows of the network's batch that each of its steps takes (two with guidance).

    `steps_left` is a whole number for a real scene; the simulator stops a scene between two steps.
    """

    @property
    def key(self) -> Hashable: ...

    @property
    def rows(self) -> int: ...

    @property
    def steps_left(self) -> float: ...

    @property
    def interactive(self) -> bool: ...

    @property
    def since_s(self) -> float: ...


SceneT = TypeVar("SceneT", bound=PendingScene)


@dataclass(frozen=True)
class Policy:
    """`ageing`: seconds of work that a second of waiting makes up for. `catalogue_s`:
    how many behind catalogue work starts."""

    ageing: float = 0.02
    catalogue_s: float = 60.0

    def urgency(self, work: PendingScene, now_s: float, step_s: float) -> float:
        """Seconds, low first. `step_s`: what one step takes alone."""
        behind = 0.0 if work.interactive else self.catalogue_s
        return work.steps_left * step_s + behind - self.ageing * (now_s - work.since_s)

    def group(self, works: Iterable[SceneT], now_s: float, step_s: float, max_rows: int) -> list[SceneT]:
        """Those that take the next step, most urgent first: one size,
        at most `max_rows` rows (but at least one work)."""
        ordered = sorted(works, key=lambda work: self.urgency(work, now_s, step_s))
        chosen: list[SceneT] = []
        room = max_rows
        for work in ordered:
            if work.key == ordered[0].key and (work.rows <= room or not chosen):
                chosen.append(work)
                room -= work.rows
        return chosen


KNEE_SHARE = 0.9


def knee(step_s: Mapping[int, float], share: float = KNEE_SHARE) -> int:
    """The fewest rows that reach `share` of the best rate. step_s:
    rows -> seconds of a step that so many share, measured.

    Beyond the knee a row more makes every scene in the step slower and hardly any of them sooner.
    """
    rates = {rows: rows / seconds for rows, seconds in step_s.items()}
    best = max(rates.values())
    return min(rows for rows, rate in rates.items() if rate >= share * best)
