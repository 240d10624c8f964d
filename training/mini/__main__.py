"""Train the mini pack, part by part. Every training resumes from the checkpoint in its run folder.

python -m training.mini scenes    --images 6400          render scenes into runs/scenes
python -m training.mini traced                           path-traced pictures as scenes, into runs/scenes too
python -m training.mini warm                             start most parts from the shipped weights
python -m training.mini vae       --minutes 20           train the VAE
python -m training.mini decoder   --minutes 20           train only the VAE's decoder further (also beside the painter)
python -m training.mini painter   --minutes 40           train the text encoder and the UNet
python -m training.mini control   --minutes 15           train the ControlNet
python -m training.mini depth     --minutes 60           train a second ControlNet, which sees the product's depth
python -m training.mini collages  --images 6000          make collages for the segmenter
python -m training.mini crowds    --images 6000          make pictures of many objects for the segmenter
python -m training.mini rendered                         degrade path-traced pictures for the segmenter
python -m training.mini worn                             degrade scenes to amateur photos for the segmenter
python -m training.mini segmenter --minutes 90           train the segmenter
python -m training.mini seen      --images 2560          encode pictures with the segmenter's encoder for `clicks`
python -m training.mini clicks    --minutes 40           train how the segmenter answers prompts and corrections
python -m training.mini features  --images 1600         what the heads train on: pictures as the segmenter sees them
python -m training.mini geometry  --minutes 15           train the geometry head (normals and depth)
python -m training.mini detector  --minutes 15           train the name finder (words to boxes)
python -m training.mini alike     --images 3200          render scenes in pairs, into runs/alike
python -m training.mini reference --minutes 60           train the image encoder and the adapter of reference pictures
python -m training.mini export                           write runs/ as a pack to packshot/packs/mini
python -m training.mini sheet     --out sheet.png        paint a sheet of examples with the exported pack
python -m training.mini evaluate                         figures on unseen scenes, as JSON
python -m training.mini judge     --minutes 8            train the judge of scenes that the evaluation uses
python -m training.mini.evaluation                       evaluate the pack (`make eval-mini`)
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from packshot.training.progress import TrainingOptions

TRAININGS = {
    "vae": ("vae", "train", ("scenes",)),
    "decoder": ("vae", "train_decoder", ("vae", "scenes")),
    "painter": ("painter", "train", ("vae", "scenes")),
    "control": ("painter", "train_control", ("painter", "vae", "scenes")),
    "depth": ("painter", "train_depth", ("painter", "vae", "scenes")),
    "segmenter": ("segmenter", "train", ()),
    "clicks": ("clicks", "train", ("seen",)),
    "judge": ("judge", "train", ("scenes",)),
    "geometry": ("geometry", "train", ("features",)),
    "detector": ("detector", "train", ("features",)),
    "reference": ("reference", "train", ("painter", "judge", "vae", "alike")),
}
"""By part: its module, its function, and the folders under runs/ that it reads."""
OTHERS = ("scenes", "traced", "warm", "collages", "crowds", "rendered", "worn", "seen", "features", "alike", "export",
          "sheet", "evaluate")  # fmt: skip
MINUTES = 20.0
SCENE_SEED = 100_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*TRAININGS, *OTHERS))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of checkpoints and scenes")
    parser.add_argument("--pack", type=Path, default=Path("packshot/packs/mini"))
    parser.add_argument("--out", type=Path, default=Path("runs/sheet.png"), help="PNG of the sheet")
    parser.add_argument("--images", type=int, default=6400, help="scenes, collages, seen: number of pictures")
    parser.add_argument("--size", type=int, default=256, help="side of scenes, collages and crowds, in pixels")
    parser.add_argument("--path-traced", type=Path, default=Path("runs/path_traced"), help="folder of rendered shards")
    parser.add_argument("--threads", type=int, default=0, help="per worker; 0 = torch's default, or 1 with --workers")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda")
    parser.add_argument("--seed", type=int, help=f"default: the part's own; scenes: of the first shard ({SCENE_SEED})")
    parser.add_argument(
        "--geometry-only", action="store_true", help="features: for the geometry alone, twice as many rows an hour"
    )
    training = parser.add_argument_group("trainings", "end at --minutes or --samples, including time before a resume")
    training.add_argument("--minutes", type=float, help=f"default: {MINUTES:.0f}, or no limit with --samples")
    training.add_argument("--samples", type=int, help="default: no limit")
    training.add_argument("--batch", type=int, help="samples per step and worker; default: the part's own")
    training.add_argument("--lr", type=float, help="peak learning rate; default: the part's own")
    training.add_argument("--log-every", type=int, default=25, help="steps between two lines of metrics")
    training.add_argument("--workers", type=int, default=1, help="processes of Ray Train; on cuda each has a GPU")
    training.add_argument("--core", type=Path, help="painter: start from a painter of half the size in this folder")
    training.add_argument("--warm", type=Path, help="segmenter, clicks, detector: start from this run's folder or file")
    training.add_argument("--small-share", type=float, default=0.8, help="segmenter: first share, at 256 px")
    training.add_argument(
        "--full-px", type=int, help="segmenter, seen: side of full-size pictures; default: its input's"
    )
    training.add_argument("--shards", type=Path, nargs="+", help="segmenter: default all of runs/shards")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    (train if args.part in TRAININGS else make)(args)


def train(args: argparse.Namespace) -> None:
    """Run one of TRAININGS, in this process or in several workers."""
    module, name, reads = TRAININGS[args.part]
    function = getattr(importlib.import_module(f"training.mini.{module}"), name)
    minutes = args.minutes or (math.inf if args.samples else MINUTES)
    plan = TrainingOptions(
        minutes=minutes,
        samples=args.samples or math.inf,
        batch=args.batch,
        lr=args.lr,
        seed=args.seed,
        device=args.device,
        log_every=args.log_every,
    )
    arguments: dict[str, Any] = {folder: args.runs / folder for folder in reads}
    arguments |= {"out": args.runs / args.part, "plan": plan}
    if args.part == "painter":
        arguments["core"] = args.core
    elif args.part == "clicks":
        arguments["warm"] = _segmenter(args)
    elif args.part == "segmenter":
        shards = args.shards or sorted((args.runs / "shards").iterdir())
        arguments |= {"shards": shards, "small_share": args.small_share, "warm": args.warm}
        arguments |= {"full_px": args.full_px} if args.full_px else {}
    elif args.part == "detector":
        arguments["warm"] = args.warm
    if args.workers > 1:
        from cluster.distribute import distribute

        distribute(function, arguments, args.workers, args.threads or 1)
    else:
        function(**arguments)


def make(args: argparse.Namespace) -> None:
    """Run a part that is not a training: make pictures, export the pack, paint a sheet or evaluate."""
    runs: Path = args.runs
    seed = SCENE_SEED if args.seed is None else args.seed
    if args.part == "scenes":
        from training.mini.data import write_shards
        from training.mini.vae import LARGE

        folder = runs / ("scenes" if args.size <= 256 else f"scenes{LARGE}")
        write_shards(folder, args.images, args.size, seed, args.device)
    elif args.part == "alike":
        from training.mini.data import write_shards
        from training.mini.reference import ALIKE

        write_shards(runs / "alike", args.images, args.size, seed, args.device, ALIKE)
    elif args.part == "traced":
        from training.mini import traced

        print(f"{traced.write_shards(runs / 'scenes', args.path_traced, args.size)} new shards")
    elif args.part == "warm":
        from training.mini.warm import warm

        print(f"started from {args.pack}: {', '.join(warm(args.pack, runs)) or 'nothing, all parts have checkpoints'}")
    elif args.part == "collages":
        from training.mini import shards

        shards.write_shards(runs / "shards/collages", args.images, size_px=args.size, seed=args.seed or 0)
    elif args.part == "crowds":
        from training.mini import crowd, shards
        from training.mini.material import read_material

        material = read_material(runs / "material/photos", runs / "material/cutouts", args.path_traced)
        draw = functools.partial(crowd.crowd, material=material)
        shards.write_shards(runs / "shards/crowds", args.images, size_px=args.size, seed=args.seed or 0, draw=draw)
    elif args.part == "rendered":
        from training.mini import shards

        print(f"{shards.degrade_path_traced(args.path_traced, runs / 'shards/rendered')} new shards")
    elif args.part == "worn":
        from training.mini import shards

        print(f"{shards.degrade_scenes(runs / 'scenes', runs / 'shards/worn')} new shards")
    elif args.part == "seen":
        from training.mini import clicks, segmenter, shards

        found = shards.Shards(args.shards or sorted((runs / "shards").iterdir()))
        side_px = args.full_px or segmenter.CONFIG["image_size"]
        clicks.write_seen(runs / "seen", found, _segmenter(args), args.images, side_px=side_px, seed=args.seed or 0)
    elif args.part == "features":
        from training.mini import head_features
        from training.mini.evaluation.measure import open_pack

        encoder = head_features.open_encoder(open_pack(args.pack))
        plates = head_features.plates_of(args.path_traced)
        only: bool = args.geometry_only
        out = runs / "features" / (head_features.GEOMETRY_FOLDER if only else "")
        head_features.write_quick(out, args.images, encoder, plates, args.seed or 0, geometry_only=only)
        folders = (args.path_traced, args.path_traced / "groups")
        new = sum(head_features.write_traced(out, folder, encoder, geometry_only=only) for folder in folders)
        print(f"{new} new path-traced shards")
    elif args.part == "export":
        from training.mini.export import export

        export(runs, args.pack)
    elif args.part == "sheet":
        from training.mini.sheet import sheet

        sheet(args.pack, args.out)
    else:
        from training.mini.evaluate import evaluate

        print(json.dumps(evaluate(runs)))


def _segmenter(args: argparse.Namespace) -> Path:
    """Where the segmenter's weights come from whose encoder stays: --warm, or the pack's file."""
    warm: Path | None = args.warm
    pack: Path = args.pack
    return warm or pack / "segmenter.safetensors"


if __name__ == "__main__":
    main()
