"""The batch curve: the seconds of a denoising step by its number of batch rows, as an engine measured it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping


class StepCurve:
    """The seconds of a step for any number of batch rows. `step_s` holds the measured ones.

    Between two measured numbers of rows the time is linear, and beyond the last one proportional to the rows. Raises
    ValueError when nothing was measured.
    """

    def __init__(self, step_s: Mapping[int, float]) -> None:
        if not step_s:
            raise ValueError("a batch curve must have at least one measured step, got none; call step_seconds()")
        self._rows = sorted(step_s)
        self._step_s = [step_s[rows] for rows in self._rows]

    def seconds(self, rows: int) -> float:
        """The seconds of a step with this number of rows, at least 1."""
        at = bisect_left(self._rows, rows)
        if at == len(self._rows):
            return self._step_s[-1] * rows / self._rows[-1]
        if at == 0:
            return self._step_s[0]
        low, high = self._rows[at - 1], self._rows[at]
        share = (rows - low) / (high - low)
        return self._step_s[at - 1] + share * (self._step_s[at] - self._step_s[at - 1])

    def slowdown(self, rows: int, alone: int) -> float:
        """By which factor a step of `rows` rows takes longer than one of `alone` rows."""
        return self.seconds(rows) / self.seconds(alone)
