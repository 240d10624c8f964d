"""Measure a trained segmenter and put it into a pack.

    python -m training.mini.segmenter_report runs/segmenter                 # figures, and a picture of the coffee cup
    python -m training.mini.segmenter_report runs/segmenter --ship packshot/packs/mini

Measured through `packshot.models.sam`, as it is served: held-out collages by box, one click and three clicks, and
scikit-image's coffee photo, which no training picture contains, against a polygon drawn by hand around cup, saucer and spoon.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file

from packshot.models.sam import SamDecoder, SamEncoder
from packshot.models.sam_network import build_sam
from packshot.types import Photo, Prompts
from training.mini.progress import read_checkpoint
from training.mini.segmenter import CONFIG

COFFEE_BOX = (75.0, 15.0, 482.0, 392.0)
COFFEE_CLICKS = ((280.0, 240.0, 1), (130.0, 230.0, 1), (420.0, 250.0, 1))
COFFEE_POLYGON = (
    (179, 77), (190, 60), (205, 46), (225, 33), (245, 24), (270, 18), (295, 18), (315, 20), (345, 30), (370, 46),
    (388, 63), (397, 78), (399, 70), (405, 66), (418, 67), (424, 72), (423, 82), (417, 107), (430, 117), (447, 138),
    (461, 162), (472, 190), (478, 215), (479, 240), (475, 265), (466, 290), (452, 313), (432, 336), (408, 356), (380, 371),
    (348, 382), (315, 388), (280, 389), (245, 386), (212, 379), (185, 368), (155, 350), (130, 328), (108, 300), (92, 270),
    (82, 240), (77, 212), (77, 190), (81, 165), (90, 142), (105, 119), (125, 99), (148, 83),
)  # fmt: skip
SERVED = {"refine": "grabcut", "thumbnail_px": 512}
MEMORY_GIB = 0.05


def coffee() -> tuple[Photo, NDArray[np.bool_]]:
    import skimage.data

    pixels = np.ascontiguousarray(skimage.data.coffee())
    truth = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(truth, [np.array(COFFEE_POLYGON, np.int32)], 1)
    return Photo(pixels), truth > 0


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other)))


def load(run: Path, size_px: int) -> tuple[Any, int]:
    """The averaged weights of a run as a SAM for `size_px`, and the samples that it has seen."""
    saved = read_checkpoint(run)
    state = saved["ema"]
    if size_px != CONFIG["image_size"]:  # a run that only saw small pictures is served on small ones
        positions = state["image_encoder.pos_embed"].permute(0, 3, 1, 2)
        side = size_px // CONFIG["patch_size"]
        shrunk = torch.nn.functional.interpolate(positions, (side, side), mode="bilinear")
        state["image_encoder.pos_embed"] = shrunk.permute(0, 2, 3, 1).contiguous()
    sam = build_sam(CONFIG | SERVED | {"image_size": size_px})
    sam.load_state_dict(state)
    return sam, saved["counters"]["samples"]


def measure(sam: Any, held_out: Path, pictures: int) -> dict[str, float]:
    """Mean IoU of the best-scored candidate (and of the best of three), and times in ms."""
    encoder, decoder = (
        SamEncoder(copy.deepcopy(sam), torch.device("cpu"), torch.float32),
        SamDecoder(sam, torch.device("cpu")),
    )
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for row in [row for path in sorted(held_out.glob("*.npy")) for row in np.load(path, mmap_mode="r")][:pictures]:
        truth = row[..., 3] > 127
        if truth.mean() < 0.005:
            continue
        [embedding] = encoder.encode([Photo(np.ascontiguousarray(row[..., :3]))])
        ys, xs = np.nonzero(truth)
        places = rng.integers(len(ys), size=3)
        clicks = tuple((float(xs[p]), float(ys[p]), 1) for p in places)
        box = tuple(float(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        asked = {
            "box": Prompts((), (box,)),
            "click": Prompts(clicks[:1]),
            "clicks3": Prompts(clicks),
            "automatic": Prompts(),
        }
        for name, prompts in asked.items():
            overlaps = [iou(c.mask.pixels > 0, truth) for c in decoder.decode([(embedding, prompts)])[0]]
            found.setdefault(name, []).append(overlaps[0])
            found.setdefault(f"{name}_best_of_3", []).append(max(overlaps))
    figures = {name: round(float(np.mean(values)), 3) for name, values in found.items()}
    return figures | _coffee(encoder, decoder)


def _coffee(encoder: SamEncoder, decoder: SamDecoder) -> dict[str, float]:
    photo, truth = coffee()
    [embedding] = encoder.encode([photo])
    asked = {
        "coffee_box": Prompts((), (COFFEE_BOX,)),
        "coffee_box_wide": Prompts((), ((60.0, 5.0, 500.0, 399.0),)),
        "coffee_click": Prompts(COFFEE_CLICKS[1:2]),
        "coffee_clicks3": Prompts(COFFEE_CLICKS),
        "coffee_automatic": Prompts(),
    }
    figures: dict[str, float] = {}
    for name, prompts in asked.items():
        candidates = decoder.decode([(embedding, prompts)])[0]
        overlaps = [iou(c.mask.pixels > 0, truth) for c in candidates]
        figures[name], figures[f"{name}_best_of_3"] = round(overlaps[0], 3), round(max(overlaps), 3)
    figures["encode_ms"] = _milliseconds(lambda: encoder.encode([photo]))
    figures["click_ms"] = _milliseconds(lambda: decoder.decode([(embedding, asked["coffee_box"])]))
    return figures


def _milliseconds(work: Any, rounds: int = 7) -> float:
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return round(sorted(spent)[rounds // 2] * 1000, 1)


def picture(sam: Any, out: Path) -> None:
    """The coffee photo with each prompt's best mask outlined in green, the hand-drawn polygon in blue."""
    encoder, decoder = (
        SamEncoder(copy.deepcopy(sam), torch.device("cpu"), torch.float32),
        SamDecoder(sam, torch.device("cpu")),
    )
    photo, _ = coffee()
    [embedding] = encoder.encode([photo])
    tiles = []
    for prompts in (Prompts((), (COFFEE_BOX,)), Prompts(COFFEE_CLICKS[1:2]), Prompts(COFFEE_CLICKS), Prompts()):
        best = decoder.decode([(embedding, prompts)])[0][0]
        shown = (photo.pixels * np.where(best.mask.pixels[..., None] > 0, 1.0, 0.35)).astype(np.uint8)
        borders, _ = cv2.findContours(best.mask.pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, borders, -1, (0, 255, 0), 1)
        tiles.append(shown)
    sheet = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    cv2.imwrite(str(out), sheet[..., ::-1])


def ship(sam: Any, folder: Path) -> dict[str, Any]:
    """Write `segmenter.safetensors` (fp16) and its role into the pack's manifest, whose other roles stay; gives the role."""
    path, manifest_path = folder / "segmenter.safetensors", folder / "manifest.yaml"
    save_file({name: tensor.half().contiguous() for name, tensor in sam.state_dict().items()}, path)
    data = path.read_bytes()
    config = {key: list(v) if isinstance(v, tuple) else v for key, v in sam.packshot_config.items()}
    files = {path.name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}}
    role = {"class_name": "Sam", "licence": "Apache-2.0", "config": config, "files": files}
    manifest = yaml.safe_load(manifest_path.read_text("utf-8"))
    manifest["roles"] = {"segmenter": role} | {
        name: spec for name, spec in manifest["roles"].items() if name != "segmenter"
    }
    manifest.setdefault("memory_gib", {})["segmenter"] = MEMORY_GIB
    manifest_path.write_text(
        yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None), "utf-8"
    )
    return role


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--held-out", type=Path, default=Path("runs/shards/held-out"))
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--size-px", type=int, default=CONFIG["image_size"])
    parser.add_argument("--ship", type=Path, help="the pack's folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sam, seen = load(options.run, options.size_px)
    if options.ship:
        print(json.dumps(ship(sam, options.ship)))
        return
    picture(sam, options.run / "coffee.png")
    print(json.dumps({"seen": seen, "size_px": options.size_px} | measure(sam, options.held_out, options.pictures)))


if __name__ == "__main__":
    main()
