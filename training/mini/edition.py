"""Trains a new edition of the painter on one GPU: scenes, VAE, painter, ControlNets, judge and reference adapter.

python -m training.mini.edition --minutes 9 --processes 14                     # about 4 GB of memory on the GPU
python -m training.mini export && python -m training.mini.reference runs/reference --ship packshot/packs/mini

Processes draw scenes while the VAE trains. Then the painter trains alone, and at last the parts that need its weights
train side by side. `--minutes` is the time of all trainings; starting processes and reading scenes comes on top.
Path-traced pictures are used too when `python -m training.mini traced` has put them among the scenes.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from training.mini.vae import LARGE

SHARES = {"vae": 0.27, "painter": 0.55, "last": 0.18}
"""The shares of the minutes. The judge trains beside the painter for as long as `last`, which are LAST side by side."""
LAST: dict[str, tuple[str, ...]] = {
    "control": ("--batch", "128", "--lr", "8e-4"),
    "depth": ("--batch", "128", "--lr", "8e-4"),
    "reference": ("--batch", "16"),
}
OPTIONS: dict[str, tuple[str, ...]] = {
    "vae": ("--batch", "64", "--lr", "2e-3"),
    "painter": ("--batch", "384", "--lr", "1.3e-3"),
    "judge": ("--batch", "64"),
}
"""Batches that keep a GPU busy. Those of the parts themselves are for a processor."""
LARGE_PX, NATIVE_PX = 512, 256
ENOUGH = 1 << 20
"""More scenes than are ever drawn: the processes are ended when the VAE is trained."""
SEEDS_APART, LEAST = 100_000, 3


def renderers(processes: int) -> list[list[str]]:
    """The commands that draw scenes: a fourth draw scenes of LARGE_PX, an eighth pairs of scenes that look alike.

    At least LEAST processes draw, so that there are scenes of each kind.
    """
    commands = []
    for number in range(max(LEAST, processes)):
        part, size = "scenes", NATIVE_PX
        if number % 4 == 1:
            size = LARGE_PX
        elif number % 8 == 2:
            part = "alike"
        seed = str((number + 1) * SEEDS_APART)
        commands.append([part, "--size", str(size), "--images", str(ENOUGH), "--threads", "1", "--seed", seed])
    return commands


def train(runs: Path, minutes: float, processes: int, device: str, quick: bool = False) -> None:
    """Draw scenes and train all parts into `runs`. With `quick`, batches are the parts' own, as a processor needs."""
    log = runs / "logs"
    log.mkdir(parents=True, exist_ok=True)

    def start(part: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "training.mini", part, "--runs", str(runs), *options]
        with (log / f"{part}.log").open("ab") as file:
            return subprocess.Popen(command, stdout=file, stderr=file)

    def training(part: str, share: float, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
        own = () if quick else ("--threads", "2", *options)
        return start(part, "--minutes", f"{share * minutes:.3f}", "--device", device, "--log-every", "100", *own)

    folders = [runs / name for name in ("scenes", f"scenes{LARGE}", "alike")]
    drawing = [start(*command) for command in renderers(processes)]
    try:
        _wait_for(folders, drawing)
        _end(training("vae", SHARES["vae"], OPTIONS["vae"]))
    finally:
        for one in drawing:
            one.send_signal(signal.SIGTERM)
        for one in drawing:
            one.wait()
    for begun in (path for folder in folders for path in folder.glob("*.part")):
        begun.unlink()
    beside = training("judge", SHARES["last"], OPTIONS["judge"])
    _end(training("painter", SHARES["painter"], OPTIONS["painter"]), beside)
    _end(*(training(part, SHARES["last"], options) for part, options in LAST.items()))


def _wait_for(folders: list[Path], drawing: list[subprocess.Popen[bytes]]) -> None:
    """Wait until each folder has a shard."""
    while not all(any(folder.glob("*.npz")) for folder in folders):
        if any(one.poll() is not None for one in drawing):
            raise RuntimeError(f"a process that draws scenes ended; {folders[0].parent / 'logs'} says why")
        time.sleep(0.5)


def _end(*trainings: subprocess.Popen[bytes]) -> None:
    """Wait for trainings. Raises RuntimeError when one of them fails."""
    failed = [" ".join(map(str, one.args)) for one in trainings if one.wait()]  # type: ignore[arg-type]
    if failed:
        raise RuntimeError(f"a training failed; its log says why, and the same command goes on: {failed}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of checkpoints and scenes")
    parser.add_argument("--minutes", type=float, default=9.0, help="of all trainings together")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="that draw scenes")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    train(options.runs, options.minutes, options.processes, options.device, quick=options.device == "cpu")


if __name__ == "__main__":
    main()
