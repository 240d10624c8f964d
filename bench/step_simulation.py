"""Step batching against static batching on paper: one server, a batch curve, arrivals; no model and no clock.

`python -m bench.step_simulation` prints, for each mix, how many scenes a second end within the SLO under either, at
loads around what the server can do. Static batching is `@serve.batch` at its best here: scenes grouped by size and step
count, the batch size tuned for each mix and load, no waiting beyond the batch that runs.
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
"""A scene is in time when it ends within so many times a lone scene's time."""


@dataclass(frozen=True)
class Curve:
    """Seconds of a step that n rows share: `fixed` is paid once, `each` by every row."""

    fixed: float
    each: float

    def step_s(self, rows: int) -> float:
        return self.fixed + self.each * rows

    def gain(self, rows: int) -> float:
        """Rows a second against one row at a time."""
        return rows * self.step_s(1) / self.step_s(rows)


CURVES = {"cpu": Curve(0.5, 0.5), "gpu": Curve(0.78, 0.22), "flat": Curve(0.0, 1.0)}
"""Gain at 8 rows: 1.8 as on two CPU cores, 3.1 as on an H200, none."""


@dataclass(frozen=True)
class Mix:
    """What arrives. `steps`: one of them, each as likely; `keys`: sizes; `catalogue`: the share nobody waits for."""

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
    """One scene of a trace. `ended_s`: when it ended; infinity before."""

    since_s: float
    steps: int
    key: Hashable
    interactive: bool
    rows: int = 1
    steps_left: int = field(init=False)
    ended_s: float = float("inf")

    def __post_init__(self) -> None:
        self.steps_left = self.steps


def trace(mix: Mix, load: float, curve: Curve, seed: int, count: int = SCENES) -> list[Scene]:
    """Poisson arrivals at `load` times what the server does at 8 rows a step."""
    rng = random.Random(seed)
    rate = load / (sum(mix.steps) / len(mix.steps) * curve.step_s(8) / 8)
    now, scenes = 0.0, []
    for _ in range(count):
        now += rng.expovariate(rate)
        scenes.append(Scene(now, rng.choice(mix.steps), rng.randrange(mix.keys), rng.random() >= mix.catalogue))
    return scenes


def continuous(scenes: Sequence[Scene], curve: Curve, policy: Policy | None = None) -> None:
    """Rows join and leave at steps, chosen by the policy, as many as the curve's knee; fills in `ended_s`."""
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
    """The oldest scene and those of its size and step count run to the end together; fills in `ended_s`."""
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
    """Share of scenes that end within the SLO of their own (or of the mean) lone time; catalogue work always counts."""
    mean = sum(scene.steps for scene in scenes) / len(scenes)
    in_time = [
        not scene.interactive or scene.ended_s - scene.since_s <= SLO * curve.step_s(1) * (scene.steps if own else mean)
        for scene in scenes
    ]
    return sum(in_time) / len(scenes)


@dataclass(frozen=True)
class Compared:
    """One mix at one load: shares of scenes in time, static at its best batch size,
    and the mean waits in step times."""

    mix: str
    curve: str
    load: float
    ours: float
    theirs: float
    ours_own: float
    theirs_own: float


def compare(mix: Mix, curve_name: str, load: float, seed: int = 7, count: int = SCENES) -> Compared:
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
    table = Table(title="Scenes in time, step batching / static batching at its best (SLO 4x mean solo; 4x own solo)")
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
