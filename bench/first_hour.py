"""The walks of new users against a server that is ready, each with a time budget.

Every script of tests/walks is a walk: `curl.sh`, `generated_client.py` and what else is there. It is run on the coffee
photo, on a server of the laptop profile with its own new home. A walk's ratio is its seconds over its budget. Budgets
are for two idle cores; the line also gives the walk's own processor seconds, which a busy machine changes less.
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

from bench.harness import Row, not_measured, print_row
from cluster.local import serving
from cluster.profiles import load_profile
from packshot.imaging.codec import encode_png

WALKS = Path("tests/walks")
BUDGETS_S = {"curl.sh": 15.0, "generated_client.py": 30.0, "shell.sh": 45.0}
"""The longest that each walk may take, in seconds. A walk without an entry fails the row."""

REPEATS = 3
"""The first run is a stranger's: no step of the graph has run before. All runs count."""


def walked(script: Path, url: str, folder: Path) -> tuple[float, float]:
    """Run one walk. Returns (seconds, processor seconds of its processes). Raises CalledProcessError if it fails."""
    command = [sys.executable] if script.suffix == ".py" else ["bash"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_at = time.perf_counter()
    subprocess.run(
        [*command, str(script), str(folder / "coffee.png"), str(folder / script.stem)],
        env={**os.environ, "HOST": url},
        check=True,
        stdout=subprocess.PIPE,
    )
    wall_s = time.perf_counter() - started_at
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure every walk and report. The exit code is 1 when one is over its budget."""
    scripts = sorted(script for script in WALKS.iterdir() if script.suffix in (".sh", ".py"))
    unknown = [script.name for script in scripts if script.name not in BUDGETS_S]
    if unknown:
        raise SystemExit(f"every walk must have a budget, {unknown} have none; add them to BUDGETS_S")
    held = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "coffee.png").write_bytes(encode_png(skimage.data.coffee()))
        settings = {"PACKSHOT_HOME": str(folder / "home"), "PACKSHOT_OPEN_ACCESS": "true"}
        with serving(load_profile("laptop"), port=0, settings=settings) as url:
            for script in scripts:
                budget_s = BUDGETS_S[script.name]
                row = Row(f"walk {script.name}", f"a new user's walk ÷ {budget_s:g} s", 1.0)
                try:
                    runs = [walked(script, url, folder) for _ in range(REPEATS)]
                except subprocess.CalledProcessError as error:
                    not_measured(row, f"it ended with exit code {error.returncode}: {error.output[-300:]!r}")
                    held.append(False)
                    continue
                seconds = [round(wall_s, 1) for wall_s, _ in runs]
                processor_s = [round(cpu_s, 2) for _, cpu_s in runs]
                ratios = [wall_s / budget_s for wall_s, _ in runs]
                held.append(print_row(row, ratios, seconds=seconds, processor_s=processor_s))
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
