"""The steps of one scene: a scheduler's timesteps, of which a touch-up takes some several times and skips others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["Schedule"]

HARMONISED, HARMONISED_SHARE = 3, 0.7
"""How often a touch-up takes each step of the schedule's first part, and that part (RePaint, Lugmayr et al. 2022)."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Schedule:
    """`plain` (n,) are the scheduler's timesteps, and `turns` says how often each is taken. `first` is the one at which
    the scene begins.
    """

    plain: Tensor
    turns: tuple[int, ...]
    first: int

    @classmethod
    def of(cls, plain: Tensor, *, strength: float, harmonises: bool) -> Schedule:
        """The last part of `plain` that `strength` (0..1) says. `harmonises` takes those that settle the composition
        HARMONISED times.
        """
        count = len(plain)
        turns = tuple(HARMONISED if harmonises and i < HARMONISED_SHARE * count else 1 for i in range(count))
        return cls(plain, turns, count - max(1, round(count * strength)))

    @property
    def timesteps(self) -> Tensor:
        """The timestep of each step."""
        return self.plain.repeat_interleave(torch.tensor(self.turns, device=self.plain.device))

    @property
    def again(self) -> tuple[bool, ...]:
        """Of each step, whether the same timestep follows it."""
        return tuple(turn < most - 1 for most in self.turns for turn in range(most))

    @property
    def index(self) -> int:
        """The step at which the scene begins."""
        return sum(self.turns[: self.first])

    def spread(self, values: Sequence[Value]) -> tuple[Value, ...]:
        """The value of each step, from the value of each timestep."""
        return tuple(value for value, most in zip(values, self.turns, strict=True) for _ in range(most))
