"""Measure a trained segmenter, or write it into a pack.

    python -m training.mini.segmenter_report runs/segmenter                 # IoU on held-out pictures and real photos
    python -m training.mini.segmenter_report runs/segmenter --ship packshot/packs/mini

training/mini/evaluation describes what is measured.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from packshot.models.segment.network import build_sam
from packshot.models.segment.segmenter import SamDecoder, SamEncoder
from training.core.progress import read_checkpoint
from training.mini.evaluation.masks import Segmenter, iou
from training.mini.evaluation.measure import COUNTS, mask_figures
from training.mini.evaluation.pointing import box_of, deepest
from training.mini.evaluation.subjects import for_calibration
from training.mini.segmenter import CONFIG, warm_weights

SERVED = {"refine": "grabcut", "thumbnail_px": 512, "clicks_in_turn": True}
MEMORY_GIB = 0.05


def load(run: Path, size_px: int) -> tuple[Any, int]:
    """A SAM for pictures of `size_px` with the averaged weights of a run, and the run's number of samples."""
    sam = build_sam(CONFIG | SERVED | {"image_size": size_px})
    sam.load_state_dict(warm_weights(sam, run))
    return sam, read_checkpoint(run)["counters"]["samples"]


def calibrated(sam: Any, size_px: int, pictures: int = 32) -> Any:
    """The same network with a `score_line` that maps scores to the expected IoU, fitted on boxes and clicks."""
    cpu = torch.device("cpu")
    segmenter = Segmenter(SamEncoder(copy.deepcopy(sam), cpu, torch.float32), SamDecoder(copy.deepcopy(sam), cpu))
    scored = []
    for subject in for_calibration(pictures, size_px):
        seen = segmenter.encode(subject.image)
        for candidates in (
            segmenter.segment(seen, [deepest(subject.truth)]),
            segmenter.segment(seen, box=box_of(subject.truth)),
        ):
            scored += [(one.score, iou(one.mask.pixels > 0, subject.truth)) for one in candidates]
    scores, overlaps = np.array(scored).T
    by, start = np.polyfit(scores, overlaps, 1)
    sam.packshot_config = sam.packshot_config | {"score_line": (round(float(start), 3), round(float(by), 3))}
    return sam


def ship(sam: Any, folder: Path) -> dict[str, Any]:
    """Write `segmenter.safetensors` (fp16) into the pack and its role into the manifest, whose other roles stay.

    Returns the role.
    """
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
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--pictures", type=int, default=COUNTS["subset"].subjects, help="pictures of each held-out set")
    parser.add_argument("--size-px", type=int, default=CONFIG["image_size"], help="side of the segmenter's input")
    parser.add_argument("--ship", type=Path, help="write the segmenter into the pack in this folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sam, seen = load(options.run, options.size_px)
    if options.ship:
        print(json.dumps(ship(calibrated(sam, options.size_px), options.ship)))
        return
    cpu = torch.device("cpu")
    segmenter = Segmenter(SamEncoder(sam, cpu, torch.float32), SamDecoder(sam, cpu))
    figures, _ = mask_figures(segmenter, options.pictures, options.size_px)
    print(json.dumps({"seen": seen, "size_px": options.size_px} | figures))


if __name__ == "__main__":
    main()
