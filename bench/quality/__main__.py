"""The quality of a pack's pictures: `python -m bench.quality --pack mini --out DIR`.

60 held-out products x 6 scenes x 2 seeds are cut, placed, painted and inspected as shots are. A picture with a failed
finding of `retry` is painted again by other seeds, twice at most, and the table has both rates. The text on a product
is read in its photo, and in each picture. DIR keeps every render and row, so a run that was stopped goes on. It gets
table.md, rows.jsonl and index.html, the worst pictures first.

    --count N            the first N products alone
    --limit N            the first N pictures alone; they spread over products, scenes and seeds
    --part K/N           every N-th product, beginning with the K-th (1..N): several machines share a folder
    --products DIR       photos or path-traced shards, which come before the drawn products
    --pages              only write table and page again, from the rows that are there
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from bench.quality.labelled import Labels
from bench.quality.measures import figures
from bench.quality.painting import Picture, Renders, finished, spec_of
from bench.quality.products import Cutter, Laid, products
from bench.quality.report import write
from packshot.contract.retry import RETRY_CHECKS, Retry
from packshot.contract.shot_spec import Canvas
from packshot.imaging.codec import read_png
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.shots.flow import failed_checks

SCENES = (
    "on a wooden table, blurred room behind, soft light",
    "on a marble table, white tile wall, soft neutral light from the left",
    "on grey paper, grey studio backdrop, soft light",
    "on sand, blue sea and sky, hard warm light from the right",
    "on a slate table, green foliage, soft light",
    "on linen, in front of a beige curtain, warm light",
)
SEEDS = (1, 2)
PRODUCTS = 60
AGAIN = 100
"""What is added to a picture's seed for each retry."""
RETRY = Retry(2, RETRY_CHECKS)
AT_ONCE = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", default="mini")
    parser.add_argument("--out", type=Path, default=None, help="default: out/quality/PACK")
    parser.add_argument("--products", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--count", type=int, default=PRODUCTS, help="products, of 60")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--canvas", type=int, default=512, help="side of the pictures, pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pages", action="store_true")
    args = parser.parse_args(argv)
    out: Path = args.out or Path("out/quality") / args.pack
    cv2.setNumThreads(1)
    if not args.pages:
        part, of = (int(one) for one in args.part.split("/"))
        run = _Run(args.pack, out, Canvas(args.canvas, args.canvas), args.device, args.products)
        run.make(part, of, args.limit, args.count)
    print(write(out, args.pack, SCENES))
    return 0


class _Run:
    """One run of the benchmark, in its folder."""

    def __init__(self, pack: str, out: Path, canvas: Canvas, device: str, folder: Path | None) -> None:
        self._pack = find_pack(pack, Settings())
        self._canvas, self._folder, self._out = canvas, folder, out
        self._renders = Renders(self._pack, out / "renders", device, AT_ONCE)
        self._cutter = Cutter(self._pack, canvas)
        (out / "rows").mkdir(parents=True, exist_ok=True)
        (out / "pictures").mkdir(exist_ok=True)

    def make(self, part: int, of: int, limit: int | None, count: int) -> None:
        """Make the pictures of one part that are missing."""
        wanted = list(products(count, self._folder))
        names = [one.name for one in wanted][part - 1 :: of]
        pictures = list(_pictures(names))[:limit]
        needed = {one.product for one in pictures if not self._row(one).exists()}
        placed = {one.name: self._cutter.place(one) for one in wanted if one.name in needed}
        self._labels = Labels({name: (one.layer, self._canvas) for name, one in placed.items()})
        todo = [one for one in pictures if not self._row(one).exists()]
        for at in range(0, len(todo), AT_ONCE):
            self._several(todo[at : at + AT_ONCE], placed)
            print(f"{min(at + AT_ONCE, len(todo))} of {len(todo)} pictures", flush=True)

    def _several(self, pictures: Sequence[Picture], placed: dict[str, Laid]) -> None:
        """Paint and judge some pictures, and paint again those that fail."""
        rows: dict[Picture, list[dict[str, Any]]] = {picture: [] for picture in pictures}
        failing = list(pictures)
        for at in range(1 + RETRY.max):
            again = {one: Picture(one.product, one.scene, one.seed + at * AGAIN) for one in failing}
            specs = {one: spec_of(self._pack, self._canvas, SCENES[one.scene], again[one].seed) for one in failing}
            scenes = self._renders.paint((again[one], placed[one.product].prepared, specs[one]) for one in failing)
            still = []
            for one in failing:
                prepared = placed[one.product].prepared
                made = finished(prepared, scenes[again[one].name], specs[one])
                pixels = np.ascontiguousarray(read_png(made.png)[..., :3])
                row = figures(prepared.flat, pixels, made.verdict, self._cutter.outside(pixels, prepared))
                row["text"] = self._labels.read(one.product, pixels)
                named = failed_checks(made.verdict, RETRY)
                row |= {"seed": again[one].seed, "worth": [-len(named), *made.verdict.worth]}
                placed_findings = [found for found in made.verdict.findings if found.box and found.level == "failed"]
                row["boxes"] = [[found.check, *(found.box or ())] for found in placed_findings]
                rows[one].append(row)
                Image.fromarray(pixels).save(self._out / "pictures" / f"{again[one].name}.jpg", quality=85)
                if named:
                    still.append(one)
            failing = still
        for one, tries in rows.items():
            told = {"product": one.product, "scene": one.scene, "seed": one.seed, "tries": tries}
            part = self._row(one).with_suffix(".part")  # a run that is killed here leaves no half row
            part.write_text(json.dumps(told), "utf-8")
            part.replace(self._row(one))

    def _row(self, picture: Picture) -> Path:
        return self._out / "rows" / f"{picture.name}.json"


def _pictures(names: Sequence[str]) -> Iterator[Picture]:
    """Every picture, in an order whose beginning spreads over all products and scenes."""
    for seed in SEEDS:
        for turn in range(len(SCENES)):
            for at, name in enumerate(names):
                yield Picture(name, (at + turn) % len(SCENES), seed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    raise SystemExit(main())
