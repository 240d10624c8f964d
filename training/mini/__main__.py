"""Train the mini pack, part by part; every command resumes where its run folder stopped.

python -m training.mini scenes  --images 6400            draw scenes into runs/scenes
python -m training.mini vae     --minutes 20
python -m training.mini decoder --minutes 20              the VAE's decoder alone, further; beside the painter if you like
python -m training.mini painter --minutes 40
python -m training.mini control --minutes 15
python -m training.mini export                            runs/ -> packshot/packs/mini
python -m training.mini sheet   --out sheet.png           what the exported pack paints
python -m training.mini evaluate                          figures on unseen scenes, as JSON
python -m training.mini judge   --minutes 8               train the reader of scenes that the evaluation uses
python -m training.mini.evaluation                        what the pack can do: `make eval-mini`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "part", choices=("scenes", "vae", "decoder", "painter", "control", "export", "sheet", "evaluate", "judge")
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of checkpoints and scenes")
    parser.add_argument("--pack", type=Path, default=Path("packshot/packs/mini"))
    parser.add_argument("--out", type=Path, default=Path("runs/sheet.png"))
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument("--size", type=int, default=256, help="pixels a side of a scene")
    parser.add_argument(
        "--core", type=Path, help="a painter of half the size to grow: its checkpoint.pt and words.json"
    )
    parser.add_argument("--seed", type=int, default=100_000, help="of the first shard")
    parser.add_argument("--minutes", type=float, default=20.0, help="in all, earlier tries included")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=0, help="0 = torch's own choice")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    runs: Path = args.runs
    if args.part == "scenes":
        from training.mini.data import write_shards

        write_shards(runs / "scenes", args.images, args.size, args.seed, args.device)
    elif args.part == "vae":
        from training.mini import vae

        vae.train(runs / "vae", runs / "scenes", args.minutes, device=args.device)
    elif args.part == "decoder":
        from training.mini import vae

        vae.train_decoder(runs / "decoder", runs / "vae", runs / "scenes", args.minutes, device=args.device)
    elif args.part == "painter":
        from training.mini import painter

        folders = (runs / "painter", runs / "vae", runs / "scenes")
        painter.train(*folders, args.minutes, args.batch, device=args.device, core=args.core)
    elif args.part == "control":
        from training.mini import painter

        painter.train_control(
            runs / "control",
            runs / "painter",
            runs / "vae",
            runs / "scenes",
            args.minutes,
            args.batch,
            device=args.device,
        )
    elif args.part == "export":
        from training.mini.export import export

        export(runs, args.pack)
    elif args.part == "evaluate":
        import json

        from training.mini.evaluate import evaluate

        print(json.dumps(evaluate(runs)))
    elif args.part == "judge":
        from training.mini import judge

        judge.train(runs / "judge", runs / "scenes", args.minutes, device=args.device)
        judge.save(judge.load(runs / "judge"), judge.SHIPPED)
    else:
        from training.mini.sheet import sheet

        sheet(args.pack, args.out)


if __name__ == "__main__":
    main()
