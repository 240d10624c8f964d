"""Train the mini pack, part by part; every command resumes where its run folder stopped.

python -m training.mini scenes    --images 6400          draw scenes into runs/scenes
python -m training.mini vae       --minutes 20
python -m training.mini decoder   --minutes 20           the VAE's decoder alone, further;
beside the painter if you like
python -m training.mini painter   --minutes 40
python -m training.mini control   --minutes 15
python -m training.mini collages  --images 6000          paste pictures for the segmenter together
python -m training.mini worn      drawn scenes as an amateur's photos, for the segmenter
python -m training.mini segmenter --minutes 90
python -m training.mini export                           runs/ -> packshot/packs/mini
python -m training.mini sheet     --out sheet.png        what the exported pack paints
python -m training.mini evaluate                         figures on unseen scenes, as JSON
python -m training.mini judge     --minutes 8            train the reader of scenes that the evaluation uses
python -m training.mini.evaluation                       what the pack can do: `make eval-mini`
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from training.core.progress import TrainingOptions

TRAININGS = {
    "vae": ("vae", "train", ("scenes",)),
    "decoder": ("vae", "train_decoder", ("vae", "scenes")),
    "painter": ("painter", "train", ("vae", "scenes")),
    "control": ("painter", "train_control", ("painter", "vae", "scenes")),
    "segmenter": ("segmenter", "train", ()),
    "judge": ("judge", "train", ("scenes",)),
}
"""Part: module, function, and the folders under runs/ that it reads."""
OTHERS = ("scenes", "collages", "worn", "export", "sheet", "evaluate")
MINUTES = 20.0
SCENE_SEED = 100_000
JUDGE = Path(__file__).with_name("judge.safetensors")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*TRAININGS, *OTHERS))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of checkpoints and scenes")
    parser.add_argument("--pack", type=Path, default=Path("packshot/packs/mini"))
    parser.add_argument("--out", type=Path, default=Path("runs/sheet.png"), help="the sheet")
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument(
        "--size", type=int, default=256, help="pixels a side of a scene, collage or segmenter's picture"
    )
    parser.add_argument("--threads", type=int, default=0, help="of each worker; 0 = torch's own choice, 1 for workers")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda")
    parser.add_argument("--seed", type=int, help=f"the part's own; for scenes, of the first shard ({SCENE_SEED})")
    training = parser.add_argument_group("trainings", "end at --minutes or --samples, earlier tries included")
    training.add_argument("--minutes", type=float, help=f"{MINUTES:.0f} where --samples is not given either")
    training.add_argument("--samples", type=int)
    training.add_argument("--batch", type=int, help="samples a step and worker; the part's own")
    training.add_argument("--lr", type=float, help="the highest learning rate; the part's own")
    training.add_argument("--log-every", type=int, default=25, help="steps")
    training.add_argument("--workers", type=int, default=1, help="processes, through Ray Train; a GPU each on cuda")
    training.add_argument("--core", type=Path, help="painter: one of half the size to grow (checkpoint.pt, words.json)")
    training.add_argument("--warm", type=Path, help="segmenter: a run's folder whose averaged weights to begin with")
    training.add_argument("--small-share", type=float, default=0.7, help="segmenter: of the plan, at half size, first")
    training.add_argument("--shards", type=Path, nargs="+", help="segmenter: runs/shards/{collages,worn}")
    training.add_argument("--judge-out", type=Path, default=JUDGE, help="judge: the weights that the evaluation reads")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    (train if args.part in TRAININGS else make)(args)


def train(args: argparse.Namespace) -> None:
    """One of TRAININGS, here or on several workers."""
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
    elif args.part == "segmenter":
        shards = args.shards or [args.runs / "shards/collages", args.runs / "shards/worn"]
        arguments |= {"shards": shards, "full_px": args.size, "small_share": args.small_share, "warm": args.warm}
    if args.workers > 1:
        from training.core.distribute import distribute

        distribute(function, arguments, args.workers, args.threads or 1)
    else:
        function(**arguments)
    if args.part == "judge":
        from training.mini import judge

        judge.save(judge.load(args.runs / "judge"), args.judge_out)


def make(args: argparse.Namespace) -> None:
    """Everything that is not trained: pictures before, pack and figures after."""
    runs: Path = args.runs
    seed = SCENE_SEED if args.seed is None else args.seed
    if args.part == "scenes":
        from training.mini.data import write_shards

        write_shards(runs / "scenes", args.images, args.size, seed, args.device)
    elif args.part == "collages":
        from training.mini import shards

        shards.write_shards(runs / "shards/collages", args.images, size_px=args.size, seed=args.seed or 0)
    elif args.part == "worn":
        from training.mini import shards

        print(f"{shards.wear_scenes(runs / 'scenes', runs / 'shards/worn')} new shards")
    elif args.part == "export":
        from training.mini.export import export

        export(runs, args.pack)
    elif args.part == "sheet":
        from training.mini.sheet import sheet

        sheet(args.pack, args.out)
    else:
        from training.mini.evaluate import evaluate

        print(json.dumps(evaluate(runs)))


if __name__ == "__main__":
    main()
