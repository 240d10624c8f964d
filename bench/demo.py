"""The demo: scikit-image's coffee photo (CC0), a hand-drawn box around cup and saucer, and two prompts.

`make demo` runs it. It calls the command that a new user would type, on the server that runs on this machine or in one
process, and downloads nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import skimage.data
from PIL import Image

OUT = Path("out/demo")
CUP_AND_SAUCER_BOX_XYXY = (78, 14, 480, 387)
PROMPTS = (
    "on a marble table, soft morning light, blurred green garden behind",
    "on a dark wooden table in front of a brick wall, warm evening light",
)


def main() -> int:
    """Write the photo, run `packshot shoot` on it, and put the pictures on one sheet."""
    OUT.mkdir(parents=True, exist_ok=True)
    photo = OUT / "coffee.png"
    Image.fromarray(skimage.data.coffee()).save(photo)
    command = [str(Path(sys.executable).with_name("packshot")), "shoot", str(photo)]
    command += ["--box", ",".join(map(str, CUP_AND_SAUCER_BOX_XYXY)), "--canvas", "512x512", "-n", "1", "--seed", "7"]
    for prompt in PROMPTS:
        command += ["--prompt", prompt]
    command += ["--out", str(OUT)]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        pictures = [photo, OUT / "coffee-marked.jpg", *sorted(OUT.glob("coffee-*-seed*.png"))]
        sheet(pictures, OUT / "sheet.jpg")
        print(f"look at {OUT / 'sheet.jpg'}", file=sys.stderr)
    return code


def sheet(pictures: list[Path], path: Path, height_px: int = 400, gap_px: int = 8) -> None:
    """Put the pictures side by side into one JPEG. All have the same height."""
    tiles = [Image.open(picture).convert("RGB") for picture in pictures]
    tiles = [
        tile.resize((round(tile.width * height_px / tile.height), height_px), Image.Resampling.LANCZOS)
        for tile in tiles
    ]
    width_px = sum(tile.width for tile in tiles) + gap_px * (len(tiles) - 1)
    whole, x = Image.new("RGB", (width_px, height_px), "white"), 0
    for tile in tiles:
        whole.paste(tile, (x, 0))
        x += tile.width + gap_px
    whole.save(path, quality=90)


if __name__ == "__main__":
    raise SystemExit(main())
