"""The knee: the highest load whose SLOs hold, with a credible interval, from as few trials as that takes.

Each trial is a short run at one load that holds or fails. Near the knee the same load does both, so the chance that a trial
holds is taken to fall as 1 / (1 + (load/knee)^steepness), and a grid of knees and steepnesses is weighed by what was seen
(Bayes). The next trial goes where the present belief puts the knee, which tells most. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOWEST, HIGHEST = 1 / 64, 1024.0
KNEES = tuple(LOWEST * (HIGHEST / LOWEST) ** (index / 799) for index in range(800))
STEEPNESSES = (6.0, 12.0, 25.0, 50.0)
CREDIBLE = 0.9
NARROW = 1.25
"""Enough is known when the interval's ends are this ratio apart."""


@dataclass(frozen=True)
class Trial:
    """One run: its load (a factor of the scenario's rates) and whether every bound held."""

    load: float
    holds: bool


@dataclass(frozen=True)
class Knee:
    """Where the SLOs cease to hold, as a load factor: median and the ends of a 90 % credible interval."""

    load: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        return self.high / self.low <= NARROW


def knee(trials: Sequence[Trial]) -> Knee:
    """The belief after `trials`; before the first, that all loads are as likely."""
    weights = [sum(math.exp(_likelihood(trials, at, steep)) for steep in STEEPNESSES) for at in KNEES]
    total, passed = sum(weights), 0.0
    found: list[float] = []
    wanted = [(1 - CREDIBLE) / 2, 0.5, (1 + CREDIBLE) / 2]
    for at, weight in zip(KNEES, weights, strict=True):
        passed += weight / total
        while len(found) < 3 and passed >= wanted[len(found)] - 1e-12:
            found.append(at)
    found += [KNEES[-1]] * (3 - len(found))
    return Knee(found[1], found[0], found[2])


def _likelihood(trials: Sequence[Trial], at: float, steep: float) -> float:
    """Logarithm of the chance of what was seen, if the knee were `at`."""
    told = 0.0
    for trial in trials:
        turn = steep * math.log(trial.load / at)
        told += _log_sigmoid(-turn if trial.holds else turn)
    return told


def _log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > -30 else x


def next_load(trials: Sequence[Trial]) -> float:
    """The load to try: 1 first, then twice or half of the last while all held or all failed, then the believed knee."""
    if not trials:
        return 1.0
    if all(trial.holds for trial in trials):
        return min(HIGHEST, 2 * max(trial.load for trial in trials))
    if not any(trial.holds for trial in trials):
        return max(LOWEST, min(trial.load for trial in trials) / 2)
    return knee(trials).load
