"""Two workers through Ray Train: every worker's samples count, and all hold the same weights."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from packshot.training.progress import read_checkpoint

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from pathlib import Path
import torch
from cluster.distribute import distribute
from packshot.training.fit import Loss, fit
from packshot.training.progress import TrainingOptions, Run

def train(out, plan):
    run = Run(out, plan.filled(batch=8, lr=0.1))
    net = torch.nn.Linear(4, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=run.plan.lr)
    drawn = []
    def loss():
        x = torch.from_numpy(run.rng.standard_normal((8, 4))).float()
        drawn.append(x)
        value = (net(x) - x.sum(1, keepdim=True)).square().mean()
        return Loss(value, len(x), {"loss": value})
    fit(run, net, optimizer, loss)
    torch.save({"net": net.state_dict(), "x": torch.cat(drawn)}, out / f"rank{run.rank}.pt")

for samples in map(int, sys.argv[2:]):
    distribute(train, {"out": Path(sys.argv[1]), "plan": TrainingOptions(samples=samples, log_every=10)}, workers=2)
"""
"""A regression of four weights; `train` is sent to the workers by value."""


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_workers_share_one_training_and_resume_it(tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    script = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    subprocess.run([*script, "320", "640"], cwd=ROOT, env=environment, check=True)
    one, other = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(one["net"][name], other["net"][name]) for name in one["net"])
    assert not torch.equal(one["x"], other["x"])
    counters = read_checkpoint(tmp_path)["counters"]
    assert (counters["samples"], counters["step"]) == (640, 40)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["samples"] for row in rows] == [160, 320, 480, 640]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert math.isfinite(rows[-1]["loss"])
