"""Path-traced product pictures: fetch what they need, render shards, look at them.

python -m training.path_traced assets                         objects, HDRIs and fonts from Debian packages (about 160
MB)
python -m training.path_traced setup                          Blender in a virtual environment of its own (about 1 GB)
python -m training.path_traced render --out DIR --pictures N  render; stop it when you like, it goes on where it stopped
python -m training.path_traced render --out DIR --manifest    the shards of the committed manifest
python -m training.path_traced groups --out DIR --split known --pictures N   lean shards of two or three products
python -m training.path_traced sheet  --shards DIR --out S.png [--labels]
python -m training.path_traced check  --shards DIR            whether every label agrees; counts of pictures fit for
training
python -m training.path_traced light  --shards DIR            how well a scene's light is read from its picture
python -m training.path_traced credits                        creators and licences, for the model card
python -m training.path_traced catalogue                      objects.csv again, from catalogues and curation.yaml
python -m training.path_traced manifest --pictures N          manifest.json again

PACKSHOT_RENDER_CACHE names the folder of assets and Blender (~/.cache/packshot-render).
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from training.path_traced import assets, catalogue, credits, light, manifest, shards, sheet
from training.path_traced.draw import GROUP_SPLITS, GROUPS, groups
from training.path_traced.scene_plan import ShardPlan

SIZE_PX, SAMPLES, PICTURES = 320, 8, 8000


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=tuple(COMMANDS))
    parser.add_argument("--out", type=Path, help="render: folder of shards; sheet: PNG to write")
    parser.add_argument("--shards", type=Path, help="folder of shards to read")
    parser.add_argument("--pictures", type=int, default=PICTURES, help="how many at least")
    parser.add_argument("--size", type=int, default=SIZE_PX, help="pixels a side, even")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="light paths a pixel, before denoising")
    parser.add_argument("--workers", type=int, default=1, help="threads of the one Blender that runs")
    parser.add_argument(
        "--part", default="0/1", help="i/n: render each n-th shard, from the i-th; for several processes or machines"
    )
    parser.add_argument("--nice", type=int, default=0, help="niceness of Blender, 0..19")
    parser.add_argument(
        "--manifest", action="store_true", help="render: the committed manifest's shards, its size and samples"
    )
    parser.add_argument("--split", choices=GROUP_SPLITS, default="train", help="groups: which objects")
    parser.add_argument("--limit", type=int, default=24, help="sheet: pictures")
    parser.add_argument("--columns", type=int, default=6, help="sheet: pictures a row")
    parser.add_argument("--every", type=int, default=1, help="sheet: each n-th picture")
    parser.add_argument("--shuffle", type=int, help="sheet: seed; shards in random order")
    parser.add_argument("--labels", action="store_true", help="sheet: every label of a picture in a row")
    args = parser.parse_args(argv)
    COMMANDS[args.command](args)


def _render(args: argparse.Namespace) -> None:
    if args.out is None:
        raise SystemExit("render needs --out, the folder of shards")
    if args.size % 2:
        raise SystemExit(f"--size must be even, got {args.size}")
    plans: Iterator[ShardPlan]
    if args.manifest:
        plans = manifest.Manifest.read().plans()
    else:
        plans = manifest.order(args.pictures, args.size, args.samples)
    first, step = (int(number) for number in args.part.split("/"))
    mine = (plan for index, plan in enumerate(plans) if index % step == first)
    _render_all(args, mine)


def _render_all(args: argparse.Namespace, plans: Iterator[ShardPlan], *, lean: bool = False) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that Blender ends too
    cache = assets.Cache.default()
    failed = shards.render_all(plans, args.out, cache, threads=args.workers, niceness=args.nice, lean=lean)
    if failed:
        raise SystemExit(f"{len(failed)} shards failed: {' '.join(failed)}")


def _groups(args: argparse.Namespace) -> None:
    if args.out is None:
        raise SystemExit("groups needs --out, the folder of shards")
    first, step = (int(number) for number in args.part.split("/"))
    numbers = range(first, -(-args.pictures // GROUPS), step)
    _render_all(args, (groups(args.split, number, args.size, args.samples) for number in numbers), lean=True)


def _found(args: argparse.Namespace) -> list[Path]:
    if args.shards is None:
        raise SystemExit(f"{args.command} needs --shards, the folder of shards")
    paths = sorted(args.shards.glob("*.npz"))
    if not paths:
        raise SystemExit(f"{args.shards} must hold shards, got none; run `python -m training.path_traced render` first")
    return paths


def _sheet(args: argparse.Namespace) -> None:
    paths = _found(args)
    if args.shuffle is not None:
        random.Random(args.shuffle).shuffle(paths)
    out = args.out or Path("runs/path_traced.png")
    if args.labels:
        count = sheet.label_sheet(paths, out, limit=args.limit, every=args.every)
    else:
        count = sheet.contact_sheet(paths, out, limit=args.limit, columns=args.columns, every=args.every)
    print(f"{count} pictures -> {out}")


def _light(args: argparse.Namespace) -> None:
    for name, value in light.light_figures(_found(args), args.pictures).items():
        print(f"{name}: {value}")


def _check(args: argparse.Namespace) -> None:
    total = fit = 0
    for path in _found(args):
        plan = ShardPlan.from_json(path.with_suffix(".json").read_text())
        with np.load(path) as arrays:
            shards.check(plan, arrays, lean=shards.NOT_LEAN[0] not in arrays.files)
        states = [shards.usable(picture) for picture in shards.pictures(path)]
        total, fit = total + len(states), fit + sum(states)
    print(f"{total} pictures with consistent labels, {fit} fit for training")


def _assets(args: argparse.Namespace) -> None:
    assets.fetch(assets.Cache.default())


def _setup(args: argparse.Namespace) -> None:
    assets.setup(assets.Cache.default())


def _credits(args: argparse.Namespace) -> None:
    print(credits.table(catalogue.read_table()))


def _catalogue(args: argparse.Namespace) -> None:
    curation = catalogue.Curation.read()
    things = [thing for archive in assets.Cache.default().archives() for thing in catalogue.parse(archive, curation)]
    catalogue.write_table(things)
    print(f"{len(things)} objects -> {catalogue.TABLE}")


def _manifest(args: argparse.Namespace) -> None:
    made = manifest.make(args.pictures, args.size, args.samples, assets.Cache.default())
    made.write()
    print(f"{len(made.digests)} shards, {made.pictures} pictures -> {manifest.PATH}")


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "assets": _assets, "setup": _setup, "render": _render, "sheet": _sheet, "check": _check, "light": _light,
    "credits": _credits,
    "catalogue": _catalogue, "manifest": _manifest, "groups": _groups,
}  # fmt: skip

if __name__ == "__main__":
    main()
