"""A run: its plan, the clock that bounds it, JSON lines of metrics, and checkpoints that can go on."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

CPU = torch.device("cpu")
PAUSE_S = 30.0
SAVE_EVERY_S = 120.0
WARM_UP_STEPS = 60


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a training ends and where it runs: at `minutes` or at `samples`, whichever comes first,
    earlier tries included."""

    minutes: float = math.inf
    samples: float = math.inf
    device: torch.device = CPU
    log_every: int = 25


@dataclass(frozen=True, kw_only=True)
class Plan(Limits):
    """A training's options, each of them known. `batch`: samples a step and worker; `lr`: the highest learning rate."""

    batch: int
    lr: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Limits):
    """What a caller may say about a training; a None is the part's to fill (`Plan`)."""

    batch: int | None = None
    lr: float | None = None
    seed: int | None = None

    def filled(self, *, batch: int, lr: float, seed: int = 0) -> Plan:
        """The plan: a part's own values in place of each None."""
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
    """One training in one folder: goes on where the folder's checkpoint stopped. With several workers,
    rank 0 alone writes.

    A step that took longer than PAUSE_S was suspended (a closed laptop, SIGSTOP): only PAUSE_S of it count.
    torch is seeded alike on every rank, so that all build the same network; `rng` is each rank's own.
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
        """Start the clock; what was read or drawn before does not count."""
        self._since = self._saved = self._ticked = time.perf_counter()
        self.look()

    @property
    def elapsed_s(self) -> float:
        return self.spent_s + time.perf_counter() - self._since

    def look(self) -> None:
        """Set `done` (0..1 of the plan) and `save_due`. Rank 0's clock says it for all."""
        done = max(self.elapsed_s / (60 * self.plan.minutes), self.samples / self.plan.samples)
        said = torch.tensor([done, time.perf_counter() - self._saved > SAVE_EVERY_S], dtype=torch.float64)
        if self.ranks > 1:
            said = said.to(self.plan.device)
            dist.broadcast(said, src=0)
        self.done, self.save_due = min(1.0, float(said[0])), bool(said[1])

    def rate(self) -> float:
        """The learning rate now: a warm-up, then a cosine over what is left of the plan, to 3 %."""
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        return self.plan.lr * warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * self.done)))

    def tick(self, samples: int, metrics: dict[str, Tensor]) -> bool:
        """Count one optimizer step; every `log_every` steps log the metrics' means. Gives whether it did."""
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
        """One line of metrics.jsonl: means over the steps since the last."""
        if self.rank == 0 and self._count:
            means = {key: round(float(value) / self._count, 5) for key, value in self._sums.items()}
            row = {"step": self.step, "samples": self.samples, "seconds": round(self.elapsed_s, 1), "lr": self.rate()}
            with (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row | means) + "\n")
            self._bar.n = 100 * self.done
            self._bar.set_postfix({"samples": self.samples, **means})
        self._sums, self._count = {}, 0

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint whole or not at all."""
        if self.rank == 0:
            counters = {"spent_s": self.elapsed_s, "step": self.step, "samples": self.samples}
            part = self.folder / "checkpoint.part"
            torch.save({**state, "counters": counters}, part)
            os.replace(part, self.folder / "checkpoint.pt")
        self._saved = time.perf_counter()

    def close(self) -> None:
        self.log()
        self._bar.n = 100 * self.done
        self._bar.close()


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """A run's `net`, `optimizer`, `counters` and, where weights are averaged, `ema`."""
    state: dict[str, Any] = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    if "sam" in state:  # a segmenter of before it had the common loop, 16 pictures a step
        counters = {"spent_s": state["spent_s"], "step": state["seen"] // 16, "samples": state["seen"]}
        names = {"net": "sam", "ema": "average", "optimizer": "optimizer"}
        return {new: state[old] for new, old in names.items()} | {"counters": counters}
    return state
