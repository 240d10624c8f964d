"""A training on Ray Train: a killed worker is replaced and resumes, and two workers take the steps of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from tests.unit.training.conftest import draw_dataset


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_workers_one_of_which_is_killed_train_what_one_trains(tmp_path: Path, tiny_packs: Path) -> None:
    pictures = draw_dataset(tmp_path / "pictures", 4, masks=True)
    environment = os.environ | {"PACKSHOT_PACK_PATH": str(tiny_packs), "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)

    def command(out: Path, *more: str) -> list[str]:
        words = ("train", "lora", str(pictures), "--out", str(out), "--pack", "tiny-mini", "--name", "acme", *more)
        steps = ("--repeats", "10", "--epochs", "20", "--batch", "4", "--rank", "2", "--lr", "0.002", "--json")
        return [sys.executable, "-m", "packshot.cli", *words, *steps]

    one, two = tmp_path / "one", tmp_path / "two"
    done = subprocess.run(command(one, "--in-process"), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    started = subprocess.Popen(command(two, "--workers", "2"), env=environment, stdout=subprocess.PIPE, text=True)
    kill_a_worker(started.pid, two)
    answer = json.loads(started.communicate(timeout=600)[0].splitlines()[-1])
    assert (started.returncode, answer["steps"], answer["ended"]) == (0, 200, "whole")
    losses = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two)]
    assert [row["step"] for row in losses[1]] == [row["step"] for row in losses[0]]
    for mine, theirs in zip(*losses, strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], rel=0.02)
    first, second = (load_file(run / "acme.safetensors") for run in (one, two))
    for name, tensor in first.items():
        assert second[name] == pytest.approx(tensor, abs=0.05 * float(tensor.abs().max()) + 1e-4), name


def kill_a_worker(driver: int, out: Path) -> None:
    """Kill one worker of the driver's Ray after its first checkpoint."""
    deadline = time.monotonic() + 400
    while not (out / "checkpoint.pt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    below = psutil.Process(driver).children(recursive=True)
    workers = [process for process in below if "RayTrainWorker" in " ".join(process.cmdline())]
    assert workers
    workers[0].kill()
