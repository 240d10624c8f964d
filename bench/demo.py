"""The demo: scikit-image's coffee photo (CC0), a person's box around cup and saucer, a white packshot and two scenes.

`make demo` runs it: the same command that a new user would type, on the real graph, with nothing downloaded.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import skimage.data
from PIL import Image

OUT = Path("out/demo")
CUP_AND_SAUCER_BOX_XYXY = (72, 12, 484, 390)
PROMPTS = (
    "on a marble table, soft morning light, blurred green garden behind",
    "on a dark wooden table in front of a brick wall, warm evening light",
)


def main() -> int:
    """Write the photo, then `packshot shoot` it."""
    OUT.mkdir(parents=True, exist_ok=True)
    photo = OUT / "coffee.png"
    Image.fromarray(skimage.data.coffee()).save(photo)
    command = [str(Path(sys.executable).with_name("packshot")), "shoot", str(photo)]
    command += ["--box", ",".join(map(str, CUP_AND_SAUCER_BOX_XYXY)), "--canvas", "512x512", "-n", "1", "--seed", "7"]
    for prompt in PROMPTS:
        command += ["--prompt", prompt]
    command += ["--out", str(OUT), "--json"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
