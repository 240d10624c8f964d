"""The policy that chooses the scenes of the next denoising step. It uses no clock, no thread and no Ray.

The most urgent scene is always chosen. Its size decides the size of the step, because scenes of different sizes cannot
share a step. The next most urgent scenes of that size fill the remaining batch rows. The scene with the smallest
urgency, in seconds, is the most urgent:

    remaining steps × seconds of a step       shortest remaining work first: this minimises the mean time to finish
    + `catalogue_s` for catalogue work        interactive scenes go first, because a person waits for them
    - `ageing` × seconds waited               no scene starves: the value of a waiting scene falls without limit

A scene that waits long enough overtakes every newer scene. A catalogue scene with w seconds of work left goes before a
new interactive scene with v seconds after at most (w - v + catalogue_s) / ageing seconds.

Catalogue scenes share a step with interactive scenes only while this hardly slows them: by at most `slowdown` on the
engine's batch curve. The others are parked: they keep their state, and go on when there is room. A scene that has been
parked for `most_parked_s` seconds in all is not parked again.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from packshot.batching.curve import StepCurve


class PendingScene(Protocol):
    """A scene that needs further denoising steps, as the policy sees it."""

    @property
    def key(self) -> Hashable:
        """Scenes with equal keys can share a step."""
        ...

    @property
    def rows(self) -> int:
        """Batch rows that each step of the scene needs: 2 with guidance, else 1."""
        ...

    @property
    def steps_left(self) -> float:
        """Remaining steps. The simulator may stop a scene between two steps, so the number may be a fraction."""
        ...

    @property
    def interactive(self) -> bool:
        """Whether a person waits for the scene."""
        ...

    @property
    def since_s(self) -> float:
        """The time at which the scene arrived, in seconds of the clock that `now_s` uses."""
        ...

    @property
    def parked_s(self) -> float:
        """For how many seconds the scene has been parked in all."""
        ...


SceneT = TypeVar("SceneT", bound=PendingScene)


@dataclass(frozen=True)
class Policy:
    """The weights of the urgency, and the bounds of parking.

    One second of waiting offsets `ageing` seconds of remaining work. Catalogue work counts as `catalogue_s` seconds
    longer than interactive work. Catalogue scenes may make a step of interactive scenes `slowdown` times as long; those
    beyond are parked, each for at most `most_parked_s` seconds in all.
    """

    ageing: float = 0.02
    catalogue_s: float = 60.0
    slowdown: float = 1.3
    most_parked_s: float = 60.0

    def urgency(self, scene: PendingScene, now_s: float, step_s: float) -> float:
        """The scene's urgency in seconds; the smallest is the most urgent. A step of one scene takes `step_s`."""
        penalty_s = 0.0 if scene.interactive else self.catalogue_s
        return scene.steps_left * step_s + penalty_s - self.ageing * (now_s - scene.since_s)

    def group(self, scenes: Iterable[SceneT], now_s: float, step_s: float, max_rows: int) -> list[SceneT]:
        """The scenes that share the next step, most urgent first.

        All have the same key. Together they need at most `max_rows` batch rows; a single scene may need more.
        """
        ordered = sorted(scenes, key=lambda scene: self.urgency(scene, now_s, step_s))
        chosen: list[SceneT] = []
        free_rows = max_rows
        for scene in ordered:
            if scene.key == ordered[0].key and (scene.rows <= free_rows or not chosen):
                chosen.append(scene)
                free_rows -= scene.rows
        return chosen

    def may_park(self, scene: PendingScene) -> bool:
        """Whether the scene may wait for people: it is catalogue work that has not been parked for long enough."""
        return not scene.interactive and scene.parked_s < self.most_parked_s

    def park(self, group: Sequence[SceneT], curve: StepCurve) -> tuple[list[SceneT], list[SceneT]]:
        """Divide the scenes of a step into those that take it and those that are parked, in their order.

        None is parked unless an interactive scene is the most urgent one.
        """
        if not group or not group[0].interactive:
            return list(group), []
        alone = rows = sum(scene.rows for scene in group if scene.interactive)
        rows += sum(scene.rows for scene in group if not scene.interactive and not self.may_park(scene))
        taken, parked = [], []
        for scene in group:
            if not self.may_park(scene):
                taken.append(scene)
            elif curve.slowdown(rows + scene.rows, alone) <= self.slowdown:
                taken.append(scene)
                rows += scene.rows
            else:
                parked.append(scene)
        return taken, parked


KNEE_SHARE = 0.9
"""Share of the best rate that the knee must reach."""


def knee(step_s: Mapping[int, float], share: float = KNEE_SHARE) -> int:
    """The fewest batch rows that reach `share` (0..1) of the best rate in rows a second.

    `step_s` is the measured batch curve: the number of batch rows to the seconds of a step. Beyond the knee, a further
    row slows every scene of the step and hardly raises the rate.
    """
    rates = {rows: rows / seconds for rows, seconds in step_s.items()}
    best = max(rates.values())
    return min(rows for rows, rate in rates.items() if rate >= share * best)
