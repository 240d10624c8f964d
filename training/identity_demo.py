"""DreamBooth of one product from a few drawn views: the pictures before and after it, beside angles it never saw.

python -m training.identity_demo --out out/identity-demo

The last line of stdout is one JSON object. `found` is the share of pictures in which the pack's detector finds the
product, and `colour_off` the distance of the mean colour in its box from the product's own, ΔE (CIE 1976).
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
from packshot.models.detect.detector import load_detector
from packshot.models.packs.pack import find_pack
from packshot.models.segment.segmenter import load_segmenter
from packshot.settings import Settings
from packshot.training.networks import Networks
from packshot.training.progress import TrainingOptions
from packshot.training.samples import Scene, paint
from packshot.training.spec import TrainingSpec
from packshot.training.train import train
from packshot.types import U8, Photo
from training.scenes.render import render_one, sample_attributes
from training.scenes.shapes import Shapes, sample_shapes
from training.scenes.words import FAMILIES, FIELDS, MATERIALS, in_full

SIZE_PX = 256
FAMILY, MATERIAL = "mug", "gloss"
PRODUCT_SEED, SCENES_SEED = 2_800_011, 2_800_100
TAUGHT_YAWS = (-0.6, -0.3, 0.0, 0.3, 0.6, 0.9)
"""The angles of the views that the pack learns from, radians around the vertical."""
UNSEEN_YAWS = (2.2, 2.8, 3.4, 4.0)
"""Angles from behind, which no view shows."""
PROMPTS = (
    "product on wood table, white wall, soft daylight light from the left",
    "product on marble table, brick wall, hard warm light from the right",
    "product on slate, green foliage, soft cool light from the left",
    "product on linen, grey wall, hard daylight light from the right",
)
TAG = "mug7q"


def views(yaws: Sequence[float], seed: int) -> list[tuple[U8, U8, str]]:
    """(picture uint8 SxSx3, mask uint8 SxS, caption) of the one product at each angle, in scenes of their own."""
    product = sample_shapes([FAMILY], [MATERIAL], np.random.default_rng(PRODUCT_SEED))
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    attributes = sample_attributes(len(yaws), rng, [FAMILY], [MATERIAL])
    attributes[:, FIELDS.index("family")] = FAMILIES.index(FAMILY)
    attributes[:, FIELDS.index("material")] = MATERIALS.index(MATERIAL)
    made = []
    for row, yaw in zip(attributes, yaws, strict=True):
        turned = Shapes(**vars(product) | {"yaw": torch.tensor([yaw])})
        one = turned.one(0, "cpu")
        image, mask, *_ = render_one(row, [one], False, SIZE_PX, 0.0, rng, generator, torch.device("cpu"), "product")
        caption = in_full(dict(zip(FIELDS, row.tolist(), strict=True)))
        made.append((image.numpy(), (mask.numpy() * 255).round().astype(np.uint8), caption))
    return made


def write_dataset(folder: Path) -> list[U8]:
    """Write the views as `packshot train dreambooth` reads them, without masks: the product itself is learned."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = views(TAUGHT_YAWS, SCENES_SEED)
    for index, (picture, _, caption) in enumerate(shown):
        (folder / f"{index:02d}.png").write_bytes(encode_png(picture))
        (folder / f"{index:02d}.txt").write_text(f"{TAG}, {caption}\n", "utf-8")
    return [picture for picture, _, _ in shown]


def painted(networks: Networks, tag: str) -> list[U8]:
    """A picture of each prompt in an empty scene: nothing but the words says what to paint."""
    scenes = [Scene(networks, None, SIZE_PX) for _ in PROMPTS]
    made = paint(networks, [f"{tag}, {prompt}" if tag else prompt for prompt in PROMPTS], scenes, seed=17)
    return [np.asarray(cv2.resize(one, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), np.uint8) for one in made]


def measured(pictures: Sequence[U8], colour: Any) -> dict[str, float]:
    """How often the product is found in pictures, and how far its colour is off."""
    pack = find_pack("mini", Settings())
    cpu = torch.device("cpu")
    (encoder, _), detector = load_segmenter(pack, cpu, torch.float32), load_detector(pack, cpu)
    assert detector is not None
    found, off = 0, []
    for picture in pictures:
        seen = detector.find([(encoder.encode([Photo(np.ascontiguousarray(picture))])[0], FAMILY)])[0]
        if seen:
            found += 1
            x0, y0, x1, y1 = (round(side) for side in seen[0].box_xyxy)
            off.append(float(np.linalg.norm(_mean_lab(picture[y0:y1, x0:x1]) - colour)))
    return {"found": found / len(pictures), "colour_off": float(np.mean(off)) if off else float("nan")}


def _mean_lab(pixels: U8, mask: U8 | None = None) -> Any:
    """The mean colour of the inner half of some pixels, or of those under a mask, in CIE L*a*b*."""
    lab = cv2.cvtColor(np.ascontiguousarray(pixels).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    if mask is not None:
        return lab[mask > 200].mean(0)
    height, width = lab.shape[:2]
    return lab[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None].reshape(-1, 3).mean(0)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/identity-demo"))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rank", type=int, default=16)
    args = parser.parse_args(argv)
    out: Path = args.out
    taught = write_dataset(out / "views")
    unseen = views(UNSEEN_YAWS, SCENES_SEED + 1)
    spec = TrainingSpec(
        kind="dreambooth",
        name="mug",
        pack="mini",
        pictures=out / "views",
        tag=TAG,
        class_words=FAMILY,
        repeats=args.repeats,
        epochs=args.epochs,
        rank=args.rank,
        licence="Apache-2.0",
    )
    started_at, spent_s = time.perf_counter(), time.process_time()
    trained = train(out / "training", TrainingOptions(log_every=10), spec)
    answer: dict[str, Any] = {name: trained[name] for name in ("steps", "ended")}
    answer |= {"wall_s": time.perf_counter() - started_at, "processor_s": time.process_time() - spent_s}
    networks = Networks(find_pack("mini", Settings()), torch.device("cpu"), torch.float32)
    before = painted(networks, "")
    networks.unet.load_lora_adapter(str(out / "training" / "mug.safetensors"), prefix="unet")
    after = painted(networks, TAG)
    colour = np.mean([_mean_lab(picture, mask) for picture, mask, _ in unseen], axis=0)
    for name, pictures in (("before", before), ("after", after), ("real", [one for one, _, _ in unseen])):
        answer |= {f"{key}_{name}": value for key, value in measured(pictures, colour).items()}
    rows = [taught[:4], [one for one, _, _ in unseen], before, after]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    (out / "sheet.png").write_bytes(encode_png(sheet))
    print(f"look at {out / 'sheet.png'}: views, unseen angles, before, after", file=sys.stderr)
    print(json.dumps({name: round(v, 3) if isinstance(v, float) else v for name, v in answer.items()}))


if __name__ == "__main__":
    main()
