"""Render photos of products, as an agency gets them: `python -m training.scenes.products OUT`.

tests/catalogue holds the photos that this made, so that its catalogue needs neither a download nor the renderer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from training.scenes import render

PHOTO_PX = 512
LEAST_PX = 236
"""A smaller product is photographed from nearer, so that a channel's file of 512 px enlarges it less than twice."""
MARGIN_PX = 12
"""How far a person draws the box outside of the product, pixels."""

PRODUCTS = {
    "bottle": (3, 11, 29),
    "jar": (4, 17, 23),
    "mug": (5, 12, 31),
    "can": (6, 19),
    "tube": (7, 21),
    "box": (8, 22),
    "vase": (9, 24),
    "bowl": (10, 26),
    "perfume": (13, 27),
    "soap": (14,),
    "bag": (15,),
    "watch": (16,),
    "shoe": (18,),
    "cup": (20,),
    "lamp": (25,),
}
"""The seeds of each family's photos."""


def main() -> None:
    """Run the command line: write each photo that is not there yet, and print its box for the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for family, seeds in PRODUCTS.items():
        for at, seed in enumerate(seeds, 1):
            path = out / f"{family}-{at}.webp"
            if path.exists():
                continue
            pixels, (x0, y0, x1, y1), caption = _photo(family, seed, PHOTO_PX)
            if max(x1 - x0, y1 - y0) < LEAST_PX:
                pixels, (x0, y0, x1, y1), caption = _photo(family, seed, PHOTO_PX * 3 // 2)
                left, top = (
                    min(max((low + high - PHOTO_PX) // 2, 0), PHOTO_PX // 2) for low, high in ((x0, x1), (y0, y1))
                )
                pixels = pixels[top : top + PHOTO_PX, left : left + PHOTO_PX]
                x0, y0, x1, y1 = x0 - left, y0 - top, x1 - left, y1 - top
            Image.fromarray(pixels).save(path, "WEBP", quality=75, method=6)
            box = [max(0, x0 - MARGIN_PX), max(0, y0 - MARGIN_PX)]
            box += [min(PHOTO_PX, x1 + MARGIN_PX), min(PHOTO_PX, y1 + MARGIN_PX)]
            print(f"{path.name}: {box}  # {caption}", flush=True)


def _photo(family: str, seed: int, size_px: int) -> tuple[np.ndarray, list[int], str]:
    """A photo (uint8 SxSx3), the product's box in it, XYXY in pixels, and what it shows."""
    batch = render(1, size_px, seed, clutter=0.0, families=[family], materials=["matte", "gloss", "metal"])
    return batch.image[0].cpu().numpy(), batch.boxes[0].tolist(), batch.captions[0]


if __name__ == "__main__":
    main()
