"""A simulation of step batching against static batching: one server with a batch curve, and arrivals. No model runs.

`python -m bench.step_simulation` prints, for each mix of arrivals, the share of scenes that end within the SLO under
both, at loads around the server's capacity. Static batching is `@serve.batch` at its best here: scenes are grouped by
size and step count, the batch size is tuned for each mix and load, and a batch waits only for the one that runs.
"""

from __future__ import annotations

import json
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from packshot.batching.policy import Policy, knee

STATIC_SIZES = (1, 2, 4, 8)
LOADS = (0.6, 0.8, 0.95, 1.1)
SCENES = 600
SLO = 4.0
"""A scene is in time when it ends within this multiple of its time alone."""


@dataclass(frozen=True)
class Curve:
    """A linear batch curve: a step of n rows takes `fixed` + `each` x n seconds."""

    fixed: float
    each: float

    def step_s(self, rows: int) -> float:
        """Seconds of a step with `rows` rows."""
        return self.fixed + self.each * rows

    def gain(self, rows: int) -> float:
        """The rate of rows at `rows` rows per step, over the rate at one row per step."""
        return rows * self.step_s(1) / self.step_s(rows)


CURVES = {"cpu": Curve(0.5, 0.5), "gpu": Curve(0.78, 0.22), "flat": Curve(0.0, 1.0)}
"""The gain at 8 rows is 1.8 as on two CPU cores, 3.1 as on an H200, and 1 (no gain)."""


@dataclass(frozen=True)
class Mix:
    """A mix of arrivals.

    A scene has one of `steps`, each with the same probability, and one of `keys` sizes. `catalogue` is the share of
    catalogue work.
    """

    name: str
    steps: tuple[int, ...]
    keys: int = 1
    catalogue: float = 0.0


MIXES = (
    Mix("equal steps", (20,)),
    Mix("10, 20 or 30 steps", (10, 20, 30)),
    Mix("4 or 50 steps", (4, 50)),
    Mix("three sizes", (20,), keys=3),
    Mix("mixed steps, two sizes", (10, 20, 30), keys=2),
    Mix("half catalogue", (10, 20, 30), catalogue=0.5),
)


@dataclass(eq=False)
class Scene:
    """One scene of a trace. It arrives at `since_s` and ends at `ended_s`, which is infinite until then."""

    since_s: float
    steps: int
    key: Hashable
    interactive: bool
    rows: int = 1
    parked_s: float = 0.0
    steps_left: int = field(init=False)
    ended_s: float = float("inf")

    def __post_init__(self) -> None:
        self.steps_left = self.steps


def trace(mix: Mix, load: float, curve: Curve, seed: int, count: int = SCENES) -> list[Scene]:
    """Poisson arrivals at `load` times the server's rate with 8 rows per step."""
    rng = random.Random(seed)
    rate = load / (sum(mix.steps) / len(mix.steps) * curve.step_s(8) / 8)
    now, scenes = 0.0, []
    for _ in range(count):
        now += rng.expovariate(rate)
        scenes.append(Scene(now, rng.choice(mix.steps), rng.randrange(mix.keys), rng.random() >= mix.catalogue))
    return scenes


def continuous(scenes: Sequence[Scene], curve: Curve, policy: Policy | None = None) -> None:
    """Simulate step batching and set each scene's `ended_s`.

    Before each step the policy chooses which scenes share it, at most as many as the curve's knee.
    """
    policy = policy or Policy(catalogue_s=60 * curve.step_s(1))
    max_rows = knee({rows: curve.step_s(rows) for rows in STATIC_SIZES})
    now, coming, here = 0.0, list(reversed(scenes)), list[Scene]()
    while coming or here:
        if not here:
            now = max(now, coming[-1].since_s)
        while coming and coming[-1].since_s <= now:
            here.append(coming.pop())
        group = policy.group(here, now, curve.step_s(1), max_rows)
        now += curve.step_s(len(group))
        for scene in group:
            scene.steps_left -= 1
            if not scene.steps_left:
                scene.ended_s = now
                here.remove(scene)


def static(scenes: Sequence[Scene], curve: Curve, max_batch: int) -> None:
    """Simulate static batching and set each scene's `ended_s`.

    The oldest scene and up to `max_batch` - 1 others of the same size and step count run to the end together.
    """
    now, coming, here = 0.0, list(reversed(scenes)), list[Scene]()
    while coming or here:
        if not here:
            now = max(now, coming[-1].since_s)
        while coming and coming[-1].since_s <= now:
            here.append(coming.pop())
        alike = [scene for scene in here if (scene.key, scene.steps) == (here[0].key, here[0].steps)][:max_batch]
        now += here[0].steps * curve.step_s(len(alike))
        for scene in alike:
            scene.ended_s = now
            here.remove(scene)


def goodput(scenes: Sequence[Scene], curve: Curve, own: bool) -> float:
    """The share of scenes that end within SLO times the time of a scene alone. Catalogue work always counts as in time.

    `own` uses the scene's own time alone; otherwise the mean of all scenes is used.
    """
    mean = sum(scene.steps for scene in scenes) / len(scenes)
    in_time = [
        not scene.interactive or scene.ended_s - scene.since_s <= SLO * curve.step_s(1) * (scene.steps if own else mean)
        for scene in scenes
    ]
    return sum(in_time) / len(scenes)


@dataclass(frozen=True)
class Compared:
    """One mix at one load: the shares of scenes in time under step batching (ours) and static batching (theirs).

    Static batching has its best batch size. The fields ending in `_own` use the scene's own time alone.
    """

    mix: str
    curve: str
    load: float
    ours: float
    theirs: float
    ours_own: float
    theirs_own: float


def compare(mix: Mix, curve_name: str, load: float, seed: int = 7, count: int = SCENES) -> Compared:
    """Simulate both kinds of batching on the same arrivals."""
    curve = CURVES[curve_name]
    ours = trace(mix, load, curve, seed, count)
    continuous(ours, curve)
    best = best_own = 0.0
    for size in STATIC_SIZES:
        theirs = trace(mix, load, curve, seed, count)
        static(theirs, curve, size)
        best, best_own = max(best, goodput(theirs, curve, own=False)), max(best_own, goodput(theirs, curve, own=True))
    mean, own = goodput(ours, curve, own=False), goodput(ours, curve, own=True)
    return Compared(mix.name, curve_name, load, mean, best, own, best_own)


def main() -> None:
    """Print the table and the JSON lines."""
    table = Table(title="Scenes in time, step / best static batching (within 4x the mean, and 4x the own time alone)")
    for column in ("mix", "curve", *(f"load {load}" for load in LOADS)):
        table.add_column(column)
    for mix in MIXES:
        for curve in CURVES:
            found = [compare(mix, curve, load) for load in LOADS]
            table.add_row(
                mix.name,
                curve,
                *(f"{c.ours:.2f}/{c.theirs:.2f}  {c.ours_own:.2f}/{c.theirs_own:.2f}" for c in found),
            )
            print(json.dumps({"row": "step-simulation", **vars(found[1])}))
    Console(stderr=True, width=150).print(table)


if __name__ == "__main__":
    main()
