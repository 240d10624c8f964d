"""What a worker asks of a training's process: a file that one writes and the other reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from packshot.training.spec import TrainingSpec

__all__ = ["ChildOrder"]


@dataclass(frozen=True, kw_only=True)
class ChildOrder:
    """A training, and how its process runs it.

    `device` is a name that torch knows. `lr` None = the kind's published rate. `threads` 0 = as many as torch takes.
    Losses are written every `log_every` steps. `captions`: pictures lack captions, which the captioner writes first.
    """

    spec: TrainingSpec
    device: str
    lr: float | None
    seed: int
    threads: int
    log_every: int
    captions: bool

    def write(self, path: Path) -> None:
        """Write the order as JSON. Raises OSError."""
        path.write_bytes(_ORDERS.dump_json(self))

    @classmethod
    def read(cls, path: Path) -> ChildOrder:
        """The order that `write` wrote. Raises OSError, and BadInput as TrainingSpec does."""
        return _ORDERS.validate_json(path.read_bytes())


_ORDERS = TypeAdapter(ChildOrder)
