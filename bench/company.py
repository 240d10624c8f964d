"""How far a picture that shared its steps is from the same picture alone: `python -m bench.company [bf16|fp32]`.

It holds where docs/integrator.md says so ("Repeating a picture"). 24 seeds, embedded pack, guided, one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from loadtest.checks.pictures import scene_wrong
from packshot.imaging.composite import inpaint_mask, product_on_grey
from packshot.imaging.edges import canny
from packshot.models.device import use_threads
from packshot.models.engines.unet_controlnet import DiffusionEngine
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.types import U8, Brief, Flat, Scene

SIDE_PX, SEEDS = 256, 24
PROMPT = "on a dark wooden table in front of a brick wall, warm evening light"


def scene(seed: int, steps: int) -> Scene:
    """A red dish with a pale spot."""
    pixels: U8 = np.zeros((SIDE_PX, SIDE_PX, 4), np.uint8)
    cv2.ellipse(pixels, (128, 140), (70, 60), 0, 0, 360, (200, 60, 40, 255), -1)
    cv2.circle(pixels, (110, 120), 25, (250, 230, 200, 255), -1)
    flat = Flat(pixels)
    brief = Brief(PROMPT, seed=seed, steps=steps, guidance_scale=2.0)
    return Scene(product_on_grey(flat), inpaint_mask(flat), canny(flat), brief)


def painted(engine: DiffusionEngine, seeds: Sequence[int], steps: int) -> list[U8]:
    """The pictures of some seeds that share their steps."""
    rows = [engine.begin(scene(seed, steps)) for seed in seeds]
    while not all(row.done for row in rows):
        engine.step(rows)
    return [render.pixels for render in engine.decode(rows)]


def main() -> int:
    """Measure and print one line for each number of steps and of scenes."""
    dtype = torch.float32 if sys.argv[1:] == ["fp32"] else torch.bfloat16
    use_threads(1)
    engine = DiffusionEngine(find_pack("mini", Settings()), dtype=dtype, freeze=True)
    wrong = 0
    for steps in (4, 16):
        alone = [painted(engine, [seed], steps)[0] for seed in range(SEEDS)]
        for count in (2, 4):
            together = [
                picture
                for start in range(0, SEEDS, count)
                for picture in painted(engine, range(start, start + count), steps)
            ]
            differences = [np.abs(one.astype(np.int16) - other) for one, other in zip(alone, together, strict=True)]
            missed = sum(scene_wrong(one) != "" for one in differences)
            wrong += missed
            least = min(float((one <= 2).all(-1).mean()) for one in differences)
            most = max(int(one.max()) for one in differences)
            print(
                f"{steps} steps, {count} together: {missed} of {SEEDS} miss; at most {most}/255, {least:.2%} within 2"
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
