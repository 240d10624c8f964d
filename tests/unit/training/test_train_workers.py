"""Trainings on Ray Train: two workers take the steps of one, and a killed worker is replaced and resumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from packshot.training.progress import TrainingOptions
from packshot.training.spec import TrainingSpec
from packshot.training.train import train
from tests.unit.training.conftest import draw_dataset

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
STEPS = 60


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_dataset(tmp_path_factory.mktemp("workers") / "pictures", 4, masks=True)


@pytest.fixture(scope="module")
def alone(pictures: Path, tiny_packs: Path) -> Path:
    """The folder of a training in this process."""
    out = pictures.with_name("alone")
    given: dict[str, Any] = {"repeats": 3, "epochs": 20, "batch": 4, "rank": 2, "precision": "fp32"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PACKSHOT_PACK_PATH", str(tiny_packs))
        spec = TrainingSpec(kind="lora", name="acme", pack="tiny-mini", pictures=pictures, check_every=5, **given)
        assert train(out, TrainingOptions(lr=0.002, log_every=5), spec)["steps"] == STEPS
    return out


def on_ray(pictures: Path, packs: Path, out: Path, workers: int) -> subprocess.Popen[str]:
    """The same training as a command, which starts a Ray of its own."""
    environment = os.environ | {"PACKSHOT_PACK_PATH": str(packs), "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    environment.pop("RAY_ADDRESS", None)
    words = ("train", "lora", str(pictures), "--out", str(out), "--pack", "tiny-mini", "--name", "acme", "--json")
    steps = ("--repeats", "3", "--epochs", "20", "--batch", "4", "--rank", "2", "--lr", "0.002", "--check-every", "5")
    exactly = ("--precision", "fp32")  # in bf16 two runs that should be equal differ by rounding
    command = [sys.executable, "-m", "packshot.cli", *words, *steps, *exactly, "--workers", str(workers)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def losses(folder: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows]


def test_two_workers_train_what_one_trains(pictures: Path, alone: Path, tiny_packs: Path, tmp_path: Path) -> None:
    started = on_ray(pictures, tiny_packs, tmp_path, workers=2)
    answer = json.loads(started.communicate(timeout=800)[0].splitlines()[-1])
    assert (started.returncode, answer["steps"], answer["ended"]) == (0, STEPS, "whole")
    for (step, theirs), (same_step, mine) in zip(losses(tmp_path), losses(alone), strict=True):
        assert step == same_step
        assert theirs == pytest.approx(mine, rel=0.01)
    first, second = (load_file(folder / "acme.safetensors") for folder in (alone, tmp_path))
    for name, tensor in first.items():
        assert float((second[name] - tensor).abs().max()) <= 0.02 * float(tensor.abs().max()) + 1e-5, name


def test_a_killed_worker_is_replaced_and_resumes(pictures: Path, alone: Path, tiny_packs: Path, tmp_path: Path) -> None:
    started = on_ray(pictures, tiny_packs, tmp_path, workers=1)
    deadline = time.monotonic() + 600
    while not (tmp_path / "checkpoint.pt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    below = psutil.Process(started.pid).children(recursive=True)
    (worker,) = [process for process in below if "RayTrainWorker" in " ".join(process.cmdline())]
    worker.kill()
    answer = json.loads(started.communicate(timeout=800)[0].splitlines()[-1])
    assert (started.returncode, answer["steps"], answer["ended"]) == (0, STEPS, "whole")
    assert losses(tmp_path) == losses(alone)
