"""A training run: its plan, its clock, its metrics as JSON lines, and checkpoints from which it resumes."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from packshot.errors import StorageFull

__all__ = ["CPU", "Limits", "Plan", "Run", "TrainingOptions", "named_disk_errors", "read_checkpoint"]

CPU = torch.device("cpu")
PAUSE_S = 30.0
SAVE_EVERY_S = 120.0
WARM_UP_STEPS = 60
METRICS = "metrics.jsonl"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The errors of a disk, a quota or a limit of file sizes that has no room left."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a training ends, and where it runs.

    It ends after `minutes` or `samples`, whichever is reached first; both include the time before a resume. `log_every`
    is in steps.
    """

    minutes: float = math.inf
    samples: float = math.inf
    device: torch.device = CPU
    log_every: int = 25


@dataclass(frozen=True, kw_only=True)
class Plan(Limits):
    """The complete options of a training. `batch` is in samples per step and worker; `lr` is the peak learning rate."""

    batch: int
    lr: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Limits):
    """The options of a training as a caller states them. None stands for the part's own value."""

    batch: int | None = None
    lr: float | None = None
    seed: int | None = None

    def filled(self, *, batch: int, lr: float, seed: int = 0) -> Plan:
        """The complete plan, with the part's own values in place of each None."""
        return Plan(
            minutes=self.minutes,
            samples=self.samples,
            device=self.device,
            log_every=self.log_every,
            batch=batch if self.batch is None else self.batch,
            lr=lr if self.lr is None else self.lr,
            seed=seed if self.seed is None else self.seed,
        )


class Run:
    """One training in one folder, which resumes from the folder's checkpoint. With several workers only rank 0 writes.

    When a step takes longer than PAUSE_S, the process was suspended (a closed laptop, SIGSTOP), and only PAUSE_S of it
    count. torch has the same seed on every rank, so that all build the same network; `rng` differs by rank.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.plan = folder, plan
        self.rank, self.ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.spent_s, self.step, self.samples = 0.0, 0, 0
        self.state: dict[str, Any] = {}
        if (folder / "checkpoint.pt").exists():
            self.state = read_checkpoint(folder)
            counters = self.state["counters"]
            self.spent_s, self.step, self.samples = counters["spent_s"], counters["step"], counters["samples"]
        self.done, self.save_due = 0.0, False
        self._stopped = False
        if self.rank == 0:
            self._forget_later_metrics()
        self.begin()
        self._bar = tqdm(
            total=100.0,
            desc=folder.name,
            mininterval=5,
            disable=self.rank > 0,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        torch.manual_seed(plan.seed)
        self.rng = np.random.default_rng([plan.seed, self.rank, self.samples])

    def begin(self) -> None:
        """Start the clock. Time before this call, for example to read data, does not count."""
        self._since = self._saved = self._ticked = time.perf_counter()
        self.update()

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far, including the time before a resume."""
        return self.spent_s + time.perf_counter() - self._since

    def update(self) -> None:
        """Set `done` (0..1 of the plan) and `save_due` by rank 0's clock."""
        done = max(self.elapsed_s / (60 * self.plan.minutes), self.samples / self.plan.samples, float(self._stopped))
        state = torch.tensor([done, time.perf_counter() - self._saved > SAVE_EVERY_S], dtype=torch.float64)
        if self.ranks > 1:
            state = state.to(self.plan.device)
            dist.broadcast(state, src=0)
        self.done, self.save_due = min(1.0, float(state[0])), bool(state[1])

    def stop(self) -> None:
        """End the training after this step. It counts on rank 0, whose `update` brings it to all workers."""
        self._stopped = True

    def save_soon(self) -> None:
        """Save a checkpoint after this step. It counts on rank 0."""
        self._saved = -math.inf

    def rate(self) -> float:
        """The present learning rate: a warm-up, then a cosine over the plan, down to 3 % of `lr`."""
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        return self.plan.lr * warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * self.done)))

    def tick(self, samples: int, metrics: dict[str, Tensor]) -> bool:
        """Count one optimizer step, and log the metrics' means every `log_every` steps. Returns whether it logged."""
        now = time.perf_counter()
        self._since += max(0.0, now - self._ticked - PAUSE_S)
        self._ticked = now
        self.step += 1
        self.samples += samples
        self._count += 1
        for key, value in metrics.items():
            self._sums[key] = self._sums[key] + value if key in self._sums else value
        if self.step % self.plan.log_every:
            return False
        self.log()
        return True

    def log(self) -> None:
        """Write one line of metrics.jsonl: the means over the steps since the last line."""
        if self.rank == 0 and self._count:
            means = {key: round(float(value) / self._count, 5) for key, value in self._sums.items()}
            row = {"step": self.step, "samples": self.samples, "seconds": round(self.elapsed_s, 1), "lr": self.rate()}
            with named_disk_errors(self.folder), (self.folder / METRICS).open("a") as file:
                file.write(json.dumps(row | means) + "\n")
            self._bar.n = 100 * self.done
            self._bar.set_postfix({"samples": self.samples, **means})
        self._sums, self._count = {}, 0

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint atomically. Raises StorageFull (storage_full); the checkpoint before it then remains."""
        if self.rank == 0:
            counters = {"spent_s": self.elapsed_s, "step": self.step, "samples": self.samples}
            part = self.folder / "checkpoint.part"
            with named_disk_errors(self.folder, part):
                with part.open("wb") as file:  # Python's file, because torch's own hides why it could not write
                    torch.save({**state, "counters": counters}, file)
                os.replace(part, self.folder / "checkpoint.pt")
        self._saved = time.perf_counter()

    def _forget_later_metrics(self) -> None:
        """Drop the metrics of steps after the checkpoint, which are taken again."""
        path = self.folder / METRICS
        if path.exists():
            rows = path.read_text().splitlines(keepends=True)
            kept = [row for row in rows if row.endswith("\n") and json.loads(row)["step"] <= self.step]
            if len(kept) < len(rows):
                path.write_text("".join(kept))

    def close(self) -> None:
        """Write the last line of metrics and end the progress bar."""
        self.log()
        self._bar.n = 100 * self.done
        self._bar.close()


@contextmanager
def named_disk_errors(folder: Path, partial: Path | None = None) -> Iterator[None]:
    """Convert the error of a full disk to StorageFull (storage_full), and remove the `partial` file then."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError after a failed write
        causes = [error, error.__context__, error.__cause__]
        if not any(isinstance(one, OSError) and one.errno in NO_ROOM for one in causes):
            raise
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise StorageFull(
            "storage_full",
            f"the training needs room on the disk of {folder}, and a write failed ({error}); free some and run the "
            "same command again, which resumes from the last checkpoint",
        ) from error


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint of a run: `net`, `optimizer`, `counters` and, when weights are averaged, `ema`."""
    state: dict[str, Any] = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    if "sam" in state:  # written before the segmenter used this loop, with 16 pictures per step
        counters = {"spent_s": state["spent_s"], "step": state["seen"] // 16, "samples": state["seen"]}
        names = {"net": "sam", "ema": "average", "optimizer": "optimizer"}
        return {new: state[old] for new, old in names.items()} | {"counters": counters}
    return state
