"""`.ci/run-tests`: two pytests side by side, and what it tells of them. A script stands for pytest."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci/run-tests"
SCRIPT = """#!{python}
import pathlib, signal, sys, time
ray = "tests/graph" in sys.argv
sys.stdout.write("with Ray\\n" if ray else "without\\n")  # whole lines, for two processes write to one pipe
sys.stdout.flush()
def interrupted(*_):
    pathlib.Path({told!r}).write_text("interrupted")
    sys.exit(2)
signal.signal(signal.SIGINT, interrupted)
if {waits}:
    sys.stdout.write("waits\\n")
    sys.stdout.flush()
    time.sleep(250)
sys.exit({codes}[ray])
"""


def fake(folder: Path, codes: tuple[int, int] = (0, 0), waits: str = "False") -> str:
    """The path of a Python whose pytest ends with `codes`: of the unit tests, and of those with Ray."""
    file = folder / "python"
    file.write_text(SCRIPT.format(python=sys.executable, told=str(folder / "told"), codes=codes, waits=waits))
    file.chmod(0o700)
    return str(file)


@pytest.mark.parametrize(("codes", "wanted"), [((0, 0), 0), ((1, 0), 1), ((0, 1), 1), ((2, 1), 2)])
def test_it_fails_where_either_part_fails(codes: tuple[int, int], wanted: int, tmp_path: Path) -> None:
    done = subprocess.run([RUN, fake(tmp_path, codes)], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == wanted
    lines = done.stdout.splitlines()
    assert {"ray | with Ray", "without"} <= set(lines)
    assert lines[-1] == f"Exit codes: unit tests {codes[0]}, tests with Ray {codes[1]}"


def test_whoever_ends_it_leaves_no_cluster(tmp_path: Path) -> None:
    command = [str(RUN), fake(tmp_path, waits="ray")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "ray | waits\n":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(200) == 143
    assert (tmp_path / "told").read_text() == "interrupted"
