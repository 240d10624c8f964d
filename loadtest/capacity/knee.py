"""The knee: the highest load at which the SLOs hold, estimated with a credible interval from few trials.

Each trial is a short run at one load. Near the knee the same load may hold in one trial and fail in the next, so the
model is probabilistic: a trial holds with probability 1 / (1 + (load/knee)^steepness). The posterior is computed on a
grid of knees and steepnesses (Bayes). The next trial runs at the posterior median of the knee, where its result is most
informative.
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
"""The search stops when the interval's upper end is at most this many times its lower end."""


@dataclass(frozen=True)
class Trial:
    """The result of one trial.

    `load` is the factor by which the scenario's rates were multiplied. `holds` says whether every bound held.
    """

    load: float
    holds: bool


@dataclass(frozen=True)
class Knee:
    """An estimate of the load at which the SLOs cease to hold.

    `load` is the posterior median; `low` and `high` are the ends of the 90 % credible interval. All three are factors
    of the scenario's rates.
    """

    load: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the interval is narrow enough to end the search."""
        return self.high / self.low <= NARROW


def knee(trials: Sequence[Trial]) -> Knee:
    """The posterior estimate after `trials`. The prior gives every knee of the grid the same weight."""
    log_likelihood = np.zeros((len(KNEES), len(STEEPNESSES)))
    for trial in trials:
        logit = STEEPNESSES * np.log(trial.load / KNEES)[:, None]
        log_likelihood -= np.logaddexp(0.0, logit if trial.holds else -logit)
    weights = np.exp(log_likelihood - log_likelihood.max()).sum(axis=1)
    share = np.cumsum(weights) / weights.sum()
    low, middle, high = KNEES[np.searchsorted(share, [(1 - CREDIBLE) / 2, 0.5, (1 + CREDIBLE) / 2])]
    return Knee(float(middle), float(low), float(high))


def next_load(trials: Sequence[Trial]) -> float:
    """The load of the next trial.

    The first trial runs at 1. While all trials held, the load doubles; while all failed, it halves. After that the
    trial runs at the estimated knee.
    """
    if not trials:
        return 1.0
    if all(trial.holds for trial in trials):
        return min(HIGHEST, 2 * max(trial.load for trial in trials))
    if not any(trial.holds for trial in trials):
        return max(LOWEST, min(trial.load for trial in trials) / 2)
    return knee(trials).load
