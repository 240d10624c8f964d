"""The knee: the highest load whose SLOs hold, with a credible interval, from as few trials as that takes.

Each trial is a short run at one load that holds or fails. Near the knee the same load does both, so the chance that a
trial holds is taken to fall as 1 / (1 + (load/knee)^steepness), and a grid of knees and steepnesses is weighed by what
was seen (Bayes). The next trial goes where the present belief puts the knee, which tells most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOWEST, HIGHEST = 1 / 64, 1024.0
KNEES = np.geomspace(LOWEST, HIGHEST, 800)
STEEPNESSES = np.array([6.0, 12.0, 25.0, 50.0])
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
    found = np.zeros((len(KNEES), len(STEEPNESSES)))  # logarithm of the chance of what was seen
    for trial in trials:
        turn = STEEPNESSES * np.log(trial.load / KNEES)[:, None]
        found -= np.logaddexp(0.0, turn if trial.holds else -turn)
    weights = np.exp(found - found.max()).sum(axis=1)
    share = np.cumsum(weights) / weights.sum()
    low, middle, high = KNEES[np.searchsorted(share, [(1 - CREDIBLE) / 2, 0.5, (1 + CREDIBLE) / 2])]
    return Knee(float(middle), float(low), float(high))


def next_load(trials: Sequence[Trial]) -> float:
    """The load to try: 1 first, then twice or half of the last while all held or all failed, then the believed knee."""
    if not trials:
        return 1.0
    if all(trial.holds for trial in trials):
        return min(HIGHEST, 2 * max(trial.load for trial in trials))
    if not any(trial.holds for trial in trials):
        return max(LOWEST, min(trial.load for trial in trials) / 2)
    return knee(trials).load
