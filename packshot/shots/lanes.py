"""Which shots a director may claim now, so that none of its places are all taken by one kind of them.

    people    catalogue shots take at most three quarters of the places, so that a person's shot is claimed at once
    engines   shots of one engine take at most three quarters, and one quarter until the engine has begun one of them:
              it may be asleep. One place stays free for each engine that has nothing here

With one engine there are no lanes of engines. Work that needs no engine, such as a clip, has the lane of people only.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from packshot.store.queue_order import Engines

KEPT = 0.25
"""Share of a director's places that one lane leaves free, at least one place."""


@dataclass(frozen=True)
class Running:
    """A claimed shot: the engine that it needs, if any, whether a catalogue has it, and whether it was begun."""

    engine: str | None
    catalogue: bool
    begun: bool = False


class Lanes:
    """The lanes of a director with this many `places`, for the `engines` of its cluster; None places = no limit."""

    def __init__(self, places: int | None, engines: Sequence[str] = ()) -> None:
        self._places = math.inf if places is None else places
        self._engines = tuple(engines)
        self._most = _less(places, KEPT)
        self._unproved = math.inf if places is None else max(1, int(places * KEPT))

    @property
    def of_engines(self) -> bool:
        """Whether there are several engines, so that a shot's engine counts."""
        return len(self._engines) > 1

    def catalogue_room(self, running: Iterable[Running], claiming: int = 0) -> float:
        """How many more catalogue shots may be claimed; `claiming` are on their way."""
        return max(0, self._most - sum(one.catalogue for one in running) - claiming)

    def engines(self, running: Collection[Running], elsewhere: Collection[str] = ()) -> Engines | None:
        """The engines whose shots may be claimed now, by priority; None when that is every engine.

        `elsewhere` are engines that another cluster serves, and this one does not.
        """
        if not self.of_engines:
            return Engines(self._engines, self._engines) if elsewhere else None
        people = tuple(name for name in self._engines if self._may(name, running, catalogue=False))
        catalogue = tuple(name for name in people if self._may(name, running, catalogue=True))
        if people == catalogue == self._engines and not elsewhere:
            return None
        return Engines(people, catalogue)

    def _may(self, engine: str, running: Collection[Running], *, catalogue: bool) -> bool:
        own = [one for one in running if one.engine == engine]
        idle = set(self._engines) - {one.engine for one in running} - {engine}
        if own and self._places - len(running) <= len(idle):
            return False  # the free places are those of engines that have nothing here
        most = self._most if any(one.begun for one in own) else self._unproved
        if not catalogue:
            return len(own) < most
        return sum(one.catalogue for one in own) < _less(most, KEPT)


def _less(places: float | None, share: float) -> float:
    """So many places less a share of them, and less one at least; but one place, if there is no other."""
    if places is None or places == math.inf:
        return math.inf
    return max(1, places - max(1, int(places * share)))
