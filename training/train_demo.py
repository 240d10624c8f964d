"""`make train-demo`: a LoRA of one look from 24 drawn pictures, the pictures before and after it, and its figures.

python -m training.train_demo --out out/train-demo          # 192 steps
python -m training.train_demo --published                   # the published schedule: 65 pictures, 1,950 steps

The last line of stdout is one JSON object. Style distance is that of the judge's features to the brand's pictures, and
reading the share of words (surface, backdrop, light) that the judge reads off the painted pictures as they were asked.
The look has two inks, and so hides words: `reading_exact` is that of the pictures before, with the look put on by hand.
`reading_change` is the trained pictures' reading less that one, and `reading_fall` what the look costs in all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from packshot.imaging.codec import encode_png
from packshot.models.packs.pack import find_pack
from packshot.settings import Settings
from packshot.training.dataset import Picture, read_items, read_pictures
from packshot.training.networks import Networks
from packshot.training.progress import TrainingOptions
from packshot.training.samples import Scene, paint
from packshot.training.spec import TrainingSpec
from packshot.training.train import train
from packshot.types import U8
from training.brand_look import around, make
from training.scenes import render

SIZE_PX = 256
PROMPTS = (
    "product on marble, in front of a plain white wall, soft neutral light",
    "product on wood, in front of foliage, hard warm light",
    "product on sand, in front of the sea, soft cool light",
    "product on concrete, in front of a brick wall, hard neutral light",
    "product on walnut, in front of a curtain, soft warm light",
    "product on terrazzo, in front of a tile wall, soft neutral light",
    "product on linen, in front of a room, hard warm light",
    "product on slate, in front of a plain grey wall, hard cool light",
)
SHOWN = 4
UNSEEN_SEED = 2_700_000
AT_ONCE = 4


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/train-demo"))
    parser.add_argument("--published", action="store_true", help="65 pictures x 6 repeats / batch 2 x 10 epochs")
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float)
    args = parser.parse_args(argv)
    if args.published:
        args.pictures, args.repeats, args.epochs = 65, 6, 10
    out: Path = args.out
    folder = out / f"pictures-{args.pictures}"
    if not folder.is_dir():
        make(folder, args.pictures, SIZE_PX)
    spec = TrainingSpec(
        kind="lora",
        name="brand",
        pack="mini",
        pictures=folder,
        tag="brandlook7",
        repeats=args.repeats,
        epochs=args.epochs,
        held_out=PROMPTS[:SHOWN],
        check_every=2,
        licence="Apache-2.0",
    )
    started_at, spent_s = time.perf_counter(), time.process_time()
    trained = train(out / "training", TrainingOptions(lr=args.lr, log_every=10), spec)
    answer: dict[str, Any] = {name: trained[name] for name in ("steps", "ended", "learned", "kept")}
    answer |= {"wall_s": time.perf_counter() - started_at, "processor_s": time.process_time() - spent_s}
    answer |= compared(folder, out / "training" / "brand.safetensors", out / "before-after.png")
    print(f"look at {out / 'before-after.png'}", file=sys.stderr)
    print(json.dumps({name: round(v, 3) if isinstance(v, float) else v for name, v in answer.items()}))


def compared(folder: Path, adapter: Path, sheet: Path) -> dict[str, float]:
    """Paint around unseen products with and without the adapter's file, write the sheet, and measure both."""
    networks = Networks(find_pack("mini", Settings()), torch.device("cpu"), torch.float32)
    batch = render(len(PROMPTS), SIZE_PX, UNSEEN_SEED, clutter=0.0)
    masks: U8 = (batch.mask.numpy() * 255).round().astype(np.uint8)
    products = [Picture(one, mask) for one, mask in zip(batch.image.numpy(), masks, strict=True)]
    scenes = [Scene(networks, product, SIZE_PX) for product in products]
    before = painted(networks, scenes)
    networks.unet.load_lora_adapter(str(adapter), prefix="unet")
    after = painted(networks, scenes)
    brand = read_pictures(read_items(folder, "lora"), SIZE_PX)
    shown = [[picture.pixels for picture in brand[:SHOWN]], before[:SHOWN], after[:SHOWN]]
    sheet.write_bytes(encode_png(_sheet(shown, ("the brand's pictures", "before", "after"))))
    judge = networks.pack.load("judge")
    brand_masks = [picture.mask for picture in brand if picture.mask is not None]
    wanted = _features(judge, [picture.pixels for picture in brand], brand_masks)
    found: dict[str, float] = {}
    exact = list(around(np.stack(before), masks))
    for name, pictures in (("before", before), ("after", after), ("exact", exact)):
        found[f"style_distance_{name}"] = _distance(_features(judge, pictures, masks), wanted)
        found[f"reading_{name}"] = _reading(judge, pictures, masks)
    found["style_change"] = found["style_distance_after"] / found["style_distance_before"] - 1
    found["reading_change"] = found["reading_after"] - found["reading_exact"]
    found["reading_fall"] = found["reading_before"] - found["reading_after"]
    return found


def painted(networks: Networks, scenes: Sequence[Scene]) -> list[U8]:
    """A picture of each prompt, of SIZE_PX."""
    made: list[U8] = []
    for start in range(0, len(PROMPTS), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        made += paint(networks, PROMPTS[part], scenes[part], seed=11 + start)
    return [np.asarray(cv2.resize(one, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), np.uint8) for one in made]


@torch.inference_mode()
def _features(judge: Any, pictures: Sequence[U8], masks: Sequence[U8] | U8) -> torch.Tensor:
    features: torch.Tensor = judge.features(*judge.inputs(np.stack(pictures), np.stack(list(masks))))
    return features


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The Fréchet distance of two sets of features, as Gaussians with independent dimensions."""
    means = (one.mean(0) - other.mean(0)).square().sum()
    return float(means + (one.std(0) - other.std(0)).square().sum())


def _reading(judge: Any, pictures: Sequence[U8], masks: U8) -> float:
    found = judge.probabilities(np.stack(pictures), masks)
    right = [
        float(found[head][row].argmax() == index)
        for row, prompt in enumerate(PROMPTS)
        for head, index in judge.named(prompt).items()
    ]
    return float(np.mean(right))


def _sheet(rows: Sequence[Sequence[U8]], names: Sequence[str]) -> U8:
    parts = []
    for row, name in zip(rows, names, strict=True):
        bar = np.full((32, SIZE_PX * len(row), 3), 255, np.uint8)
        cv2.putText(bar, name, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1, cv2.LINE_AA)
        parts += [bar, np.concatenate(list(row), axis=1)]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
