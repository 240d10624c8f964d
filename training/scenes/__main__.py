"""Render a contact sheet of scenes: `python -m training.scenes --sheet out.png`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from training.scenes import render
from training.scenes.words import FAMILIES, MATERIALS


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="PNG to write")
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--size", type=int, default=128, help="side of a scene in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, help="default: those of the training")
    parser.add_argument("--materials", nargs="+", choices=MATERIALS, help="default: those of the training")
    args = parser.parse_args()
    start = time.perf_counter()
    count = args.rows * args.columns
    batch = render(count, args.size, args.seed, args.device, families=args.families, materials=args.materials)
    seconds = time.perf_counter() - start
    image = batch.image.cpu().numpy().reshape(args.rows, args.columns, args.size, args.size, 3)
    sheet = np.concatenate(list(np.concatenate(list(image.transpose(1, 0, 2, 3, 4)), 2)), 0)
    cv2.imwrite(str(args.sheet), sheet[..., ::-1])
    for caption in batch.captions[: args.columns]:
        print(caption)
    print(f"{count} scenes of {args.size} px in {seconds:.1f} s ({count / seconds:.1f}/s) -> {args.sheet}")


if __name__ == "__main__":
    main()
