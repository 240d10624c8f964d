"""The first picture on a laptop, without a server: `packshot shoot --in-process`, and the demo.

Each runs in new processes with a new home, as a stranger's does. A ratio is seconds over the budget, which is for two
idle cores; the line also gives processor seconds, which a busy machine changes less.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import skimage.data

from bench.harness import Row, print_row
from packshot.imaging.codec import encode_png

REPEATS = 3

SHOOT = ["shoot", "coffee.png", "--box", "78,14,480,387", "--prompt", "on a marble table", "--in-process"]
ROWS = {
    Row("first picture", "packshot shoot --in-process ÷ 15 s", 1.0): (15.0, ["packshot.cli", *SHOOT]),
    Row("demo", "make demo after set-up ÷ 45 s", 1.0): (45.0, ["bench.demo"]),
}
"""Each row with its budget in seconds, and its command as a module with arguments."""


def run_s(command: list[str]) -> tuple[float, float]:
    """Run a module in a new folder with a new home. Returns (seconds, processor seconds)."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "coffee.png").write_bytes(encode_png(skimage.data.coffee()))
        environment = {**os.environ, "PACKSHOT_HOME": str(folder / "home"), "PYTHONPATH": os.getcwd()}
        before, started_at = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL
        )
        wall_s = time.perf_counter() - started_at
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure both. The exit code is 1 when one is over its budget."""
    held = []
    for row, (budget_s, command) in ROWS.items():
        runs = [run_s(command) for _ in range(REPEATS)]
        seconds, processor_s = [round(wall_s, 1) for wall_s, _ in runs], [round(cpu_s, 1) for _, cpu_s in runs]
        ratios = [wall_s / budget_s for wall_s, _ in runs]
        held.append(print_row(row, ratios, seconds=seconds, processor_s=processor_s))
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
