"""A simulated generator replica: scenes share steps as in packshot.batching.renders, chosen by the same policy.

Between two events (a scene arrives, or takes its last step) the chosen scenes advance together by a step in every
`step_s(rows)` seconds. While a scene is begun or decoded, the others wait. Catalogue scenes are parked as
there. The real batcher reacts to arrivals between two steps; the simulation reacts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import simpy

from cluster.simulate.stages import Machine
from packshot.batching.curve import StepCurve
from packshot.batching.policy import Policy

EPSILON = 1e-6


@dataclass(eq=False)
class Scene:
    """A scene to paint (`packshot.batching.policy.PendingScene`). Events occur within steps, so steps are fractions."""

    rows: int
    steps_left: float
    interactive: bool
    since_s: float = 0.0
    key: Hashable = None
    begun: bool = False
    parked_s: float = 0.0


class Painter:
    """One replica. `on_done` is called when a scene has been decoded. `policy` chooses the scenes of each step."""

    def __init__(
        self,
        env: simpy.Environment,
        machine: Machine,
        on_done: Callable[[Scene], None],
        policy: Policy | None = None,
    ) -> None:
        self._env = env
        self._machine = machine
        self._on_done = on_done
        self._policy = policy or Policy()
        self._curve = StepCurve({rows: machine.step_s(rows) for rows in (1, max(2, machine.max_rows))})
        self._scenes: list[Scene] = []
        self._group: list[Scene] = []
        self._parked: list[Scene] = []
        self._exclusive = False
        """Whether a scene is being begun or decoded, while the others wait."""
        self._since_s = 0.0
        self._plan_number = 0
        self.busy_s = 0.0

    def take(self, scene: Scene) -> None:
        """Add a scene."""
        scene.since_s = self._env.now
        self._scenes.append(scene)
        if not self._exclusive:
            self._advance()
            self._next()

    def row_steps_left(self, interactive: bool) -> float:
        """The row-steps that the scenes of one priority still need."""
        return sum(scene.steps_left * scene.rows for scene in self._scenes if scene.interactive == interactive)

    def _advance(self) -> None:
        """Advance the group by the steps of the time since the last event."""
        spent_s = self._env.now - self._since_s
        if self._group:
            self.busy_s += spent_s
            steps = spent_s / self._machine.step_s(sum(scene.rows for scene in self._group))
            for scene in self._group:
                scene.steps_left -= steps
            for scene in self._parked:
                scene.parked_s += spent_s
        self._since_s = self._env.now

    def _next(self) -> None:
        """Choose what the replica does until the next event: decode, begin, or run the steps of a group."""
        self._group, self._parked = [], []
        begun = [scene for scene in self._scenes if scene.begun]
        denoising = [scene for scene in begun if scene.steps_left > EPSILON]
        people = any(scene.interactive for scene in denoising)
        done = [one for one in begun if one.steps_left <= EPSILON and not (people and self._policy.may_park(one))]
        if done:
            self._run_exclusively(done[0], self._machine.decode_s)
            return
        rows = self._machine.max_rows
        waiting = [scene for scene in self._scenes if not scene.begun]
        taken, held = self._taken([*denoising, *waiting])
        fresh = [one for one in taken if not one.begun]
        bulk = sum(not scene.interactive for scene in begun)
        if fresh and len(begun) < 2 * rows and (fresh[0].interactive or bulk < rows):
            self._run_exclusively(fresh[0], self._machine.begin_s)
            return
        if denoising:
            self._group, _ = self._taken(denoising) if waiting else (taken, held)
            if self._group[0].interactive:
                others = [one for one in begun if not one.interactive and one not in self._group]
                self._parked = [*others, *(one for one in held if not one.begun)]
            steps = min(scene.steps_left for scene in self._group)
            self._after(steps * self._machine.step_s(sum(scene.rows for scene in self._group)), self._stepped)

    def _taken(self, scenes: list[Scene]) -> tuple[list[Scene], list[Scene]]:
        """The scenes of these that take the next steps, and those that would but are parked."""
        group = self._policy.group(scenes, self._env.now, self._machine.step_s(1), self._machine.max_rows)
        return self._policy.park(group, self._curve)

    def _run_exclusively(self, scene: Scene, for_s: float) -> None:
        self._exclusive = True
        self.busy_s += for_s
        self._after(for_s, lambda: self._end_exclusive(scene))

    def _end_exclusive(self, scene: Scene) -> None:
        self._exclusive = False
        self._since_s = self._env.now
        if scene.begun:
            self._scenes.remove(scene)
            self._on_done(scene)
        else:
            scene.begun = True
        if not self._exclusive:  # `on_done` may have added a scene that is being begun
            self._advance()
            self._next()

    def _stepped(self) -> None:
        self._advance()
        self._next()

    def _after(self, wait_s: float, then: Callable[[], None]) -> None:
        """Call `then` after `wait_s`, unless another call is planned before."""
        self._plan_number += 1
        number = self._plan_number
        event = self._env.timeout(max(wait_s, 0.0))
        assert event.callbacks is not None
        event.callbacks.append(lambda _: then() if number == self._plan_number else None)
