"""What every training shares: a clock that sets the learning rate, JSON lines of metrics, checkpoints that can go on."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

PAUSE_S = 30.0


class Run:
    """A training bounded by minutes. Minutes of earlier tries count in, so a resumed run ends where it was to end.

    A step that took longer than PAUSE_S was suspended (a closed laptop, SIGSTOP): only PAUSE_S of it count.
    """

    def __init__(self, folder: Path, minutes: float, lr: float, checkpoint_every_s: float = 120) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.budget_s, self.lr, self.every_s = folder, minutes * 60, lr, checkpoint_every_s
        self.spent_s, self.step, self.samples = 0.0, 0, 0
        self._since = self._saved = self._ticked = time.perf_counter()
        self._bar = tqdm(total=round(self.budget_s), unit="s", desc=folder.name, mininterval=5)
        self._sums: dict[str, float] = {}
        self._count = 0

    @property
    def elapsed_s(self) -> float:
        return self.spent_s + time.perf_counter() - self._since

    @property
    def going(self) -> bool:
        return self.elapsed_s < self.budget_s

    def rate(self) -> float:
        """The learning rate now: warm-up over 60 steps, then a cosine over the time that is left, to 3 %."""
        done = min(1.0, self.elapsed_s / self.budget_s)
        return self.lr * min(1.0, (self.step + 1) / 60) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done)))

    def tick(self, samples: int, metrics: dict[str, float], log_every: int = 50) -> None:
        """Count one optimizer step and log means of the metrics."""
        now = time.perf_counter()
        self._since += max(0.0, now - self._ticked - PAUSE_S)
        self._ticked = now
        self.step += 1
        self.samples += samples
        self._count += 1
        for key, value in metrics.items():
            self._sums[key] = self._sums.get(key, 0.0) + value
        if self.step % log_every == 0:
            row = {"step": self.step, "samples": self.samples, "seconds": round(self.elapsed_s, 1), "lr": self.rate()}
            row |= {key: round(value / self._count, 5) for key, value in self._sums.items()}
            with (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            self._bar.n = round(self.elapsed_s)
            self._bar.set_postfix({"samples": self.samples, **{k: v for k, v in row.items() if k in self._sums}})
            self._sums, self._count = {}, 0

    @property
    def checkpoint_due(self) -> bool:
        return time.perf_counter() - self._saved > self.every_s

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint whole or not at all."""
        counters = {"spent_s": self.elapsed_s, "step": self.step, "samples": self.samples}
        part = self.folder / "checkpoint.part"
        torch.save({**state, "counters": counters}, part)
        os.replace(part, self.folder / "checkpoint.pt")
        self._saved = time.perf_counter()

    def resume(self) -> dict[str, Any] | None:
        """The last checkpoint of this folder, its counters taken over; None when there is none."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        counters = state["counters"]
        self.spent_s, self.step, self.samples = counters["spent_s"], counters["step"], counters["samples"]
        return state


def half_on_gpu(device: torch.device) -> torch.autocast:
    """bf16 where a GPU has it; a CPU trains in fp32 (bf16 pays only where the processor has units for it)."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
