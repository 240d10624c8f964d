"""Every training command lowers its loss and goes on where it stopped; the long form trains each for a minute."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from packshot.training.progress import read_checkpoint
from training.mini.__main__ import TRAININGS, main

ROOT = Path(__file__).parents[3]
STEPS, LOG_EVERY = 24, 6
TINY = {
    "vae": ("--batch", "8", "--lr", "3e-3"),
    "decoder": ("--batch", "8", "--lr", "3e-3"),
    "painter": ("--batch", "8", "--lr", "3e-3"),
    "control": ("--batch", "8", "--lr", "1e-2"),  # of a frozen, untrained painter little can be learnt
    "depth": ("--batch", "8", "--lr", "1e-2"),
    "segmenter": ("--batch", "4", "--lr", "4e-3", "--full-px", "64", "--small-share", "0"),
    "clicks": ("--batch", "4", "--lr", "3e-3"),
    "judge": ("--batch", "8", "--lr", "4e-3"),
    "geometry": ("--batch", "4", "--lr", "3e-3"),
    "detector": ("--batch", "4", "--lr", "3e-3"),
    "reference": ("--batch", "1", "--lr", "3e-3"),
}
"""Options that make a part learn in STEPS steps of pictures 64 px wide."""


def losses(folder: Path) -> list[float]:
    """The logged means, oldest first. References learn to paint late, so their reading of scenes is what can fall."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["words" if folder.name == "reference" else "loss"] for line in lines]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder: 32 scenes and 16 collages."""
    torch.set_num_threads(1)
    runs = tmp_path_factory.mktemp("runs")
    main(["scenes", "--runs", str(runs), "--images", "32", "--size", "64"])
    main(["collages", "--runs", str(runs), "--images", "16", "--size", "64"])
    return runs


@pytest.fixture(scope="module")
def prepared(drawn: Path) -> Path:
    """With what LONG reads too: pictures encoded and for the heads, pairs, a VAE, a painter and a judge of one step."""
    main(["seen", "--runs", str(drawn), "--images", "16", "--full-px", "64"])
    main(["features", "--runs", str(drawn), "--images", "3", "--path-traced", str(drawn / "none")])
    main(["alike", "--runs", str(drawn), "--images", "32"])
    for part in ("vae", "painter", "judge"):
        main([part, "--runs", str(drawn), "--samples", "4", "--batch", "4"])
    return drawn


LONG = ("vae", "decoder", "painter", "control", "depth", "clicks", "geometry", "detector", "reference")
"""Parts that take four seconds and more even so, with what they read. The others resume by the same loop."""


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=pytest.mark.soak) if part in LONG else part for part in TRAININGS]
)
def test_a_training_resumes_and_lowers_its_loss(
    part: str, drawn: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    runs: Path = request.getfixturevalue("prepared") if part in LONG else drawn
    for folder in runs.iterdir():
        if folder.name != part:
            (tmp_path / folder.name).symlink_to(folder)
    batch = int(TINY[part][1])
    command = [part, "--runs", str(tmp_path), "--log-every", str(LOG_EVERY), *TINY[part]]
    main([*command, "--samples", str(batch * STEPS // 2)])
    main([*command, "--samples", str(batch * STEPS)])
    counters = read_checkpoint(tmp_path / part)["counters"]
    assert (counters["step"], counters["samples"]) == (STEPS, STEPS * batch)
    first, *_, last = losses(tmp_path / part)
    assert last < 0.97 * first


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with what every command reads, at the shipped size."""
    runs = tmp_path_factory.mktemp("runs")
    command(runs, "scenes", "--images", "64")
    command(runs, "collages", "--images", "64")
    command(runs, "worn")
    command(runs, "seen", "--images", "64")
    command(runs, "features", "--images", "32", "--path-traced", str(runs / "none"))
    command(runs, "alike", "--images", "32")
    return runs


def command(runs: Path, part: str, *options: str) -> None:
    """As a user would."""
    line = [sys.executable, "-m", "training.mini", part, "--runs", str(runs), *options]
    subprocess.run(line, cwd=ROOT, check=True)


def assert_fell(folder: Path) -> None:
    """The mean loss of the last third of a run is below the first third's."""
    means = losses(folder)
    third = len(means) // 3
    assert third, f"{folder.name} came to {len(means)} steps only: this machine is too busy to tell"
    assert sum(means[-third:]) < sum(means[:third]), folder.name


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_training_command_lowers_its_loss_in_a_minute(scenes: Path) -> None:
    for part in TRAININGS:  # in this order: the painter reads the VAE, the ControlNet the painter
        faster = ("--lr", "1e-2") if part == "control" else ()  # its outputs start at zero, and a minute is short
        command(scenes, part, "--minutes", "1", "--batch", "8", "--log-every", "1", *faster)
        assert_fell(scenes / part)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_training_command_lowers_its_loss_on_two_workers(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "scenes").symlink_to(scenes / "scenes")
    command(tmp_path, "vae", "--minutes", "1", "--batch", "8", "--log-every", "1", "--workers", "2")
    assert_fell(tmp_path / "vae")
