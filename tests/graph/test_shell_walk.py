"""The walk of a new user of the shell, as it is in tests/walks, against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import skimage.data

from packshot.imaging.codec import encode_png, read_png

WALK = Path(__file__).parents[1] / "walks/shell.sh"


def test_the_walk_of_the_shell_makes_pictures_and_repeats_one_exactly(url: str, tmp_path: Path) -> None:
    photo, out = tmp_path / "coffee.png", tmp_path / "out"
    photo.write_bytes(encode_png(skimage.data.coffee()))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(WALK), str(photo), str(out)],
        env={**os.environ, "HOST": url, "PATH": path},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["verdict"] in ("ok", "warning")
    assert read_png((out / "first/coffee-01-seed7.png").read_bytes()).shape == (512, 512, 3)
