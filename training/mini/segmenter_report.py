"""Measure a trained segmenter, or write it into a pack.

    python -m training.mini.segmenter_report runs/segmenter                 # IoU on held-out pictures and real photos
    python -m training.mini.segmenter_report runs/segmenter --ship packshot/packs/mini

training/mini/evaluation describes what is measured.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from packshot.models.segment.network import build_sam
from packshot.models.segment.segmenter import SamDecoder, SamEncoder
from packshot.training.progress import read_checkpoint
from training.mini import calibration, roles
from training.mini.calibration import least_absolute
from training.mini.evaluation.masks import Segmenter, ask
from training.mini.evaluation.measure import COUNTS, mask_figures
from training.mini.evaluation.subjects import CALIBRATION, Subject, for_calibration
from training.mini.segmenter import CONFIG, augment, draw_targets, warm_weights, without_padding
from training.mini.shards import Shards

SERVED = {"refine": "grabcut", "thumbnail_px": 512, "clicks_in_turn": True}


def load(run: Path, size_px: int, start: Path | None = None) -> tuple[Any, int]:
    """A SAM for pictures of `size_px` with the averaged weights of a run, and the run's number of samples.

    With `start`, the weights are the mean of the run's and of those from which it started, a pack's file. A short run
    on a narrow task then keeps what it had not seen (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
    """
    sam = build_sam(CONFIG | SERVED | {"image_size": size_px})
    weights = warm_weights(sam, run)
    if start:
        before = warm_weights(sam, start)
        weights = {name: torch.lerp(before[name], weight, 0.5) for name, weight in weights.items()}
    sam.load_state_dict(weights)
    return sam, read_checkpoint(run)["counters"]["samples"]


def calibrated(sam: Any, size_px: int, pictures: int = 32, held_out: Sequence[Path] = ()) -> Any:
    """The same network with a `score_line` and `expected_iou` that map scores to the IoU of first answers.

    They are fitted to drawn `pictures`, and to three times as many of `held_out`, folders of shards that no training
    read: they are harder, as photos are.
    """
    cpu = torch.device("cpu")
    plain = copy.deepcopy(sam)
    plain.packshot_config = plain.packshot_config | {"score_line": (0.0, 1.0), "expected_iou": {}}
    segmenter = Segmenter(SamEncoder(plain, cpu, torch.float32), SamDecoder(plain, cpu))
    harder = _from_shards(held_out, 3 * pictures, size_px) if held_out else []
    subjects = [*for_calibration(pictures, size_px), *harder]
    scored = [pair for subject in subjects for pair in ask(segmenter, subject).scored]
    score, overlap = np.array(scored).T
    line = tuple(round(float(value), 3) for value in least_absolute(score[:, None], overlap))
    plain.packshot_config = plain.packshot_config | {"score_line": line}
    segmenter = Segmenter(segmenter.encoder, SamDecoder(plain, cpu))
    fitted = calibration.planes(calibration.rows(segmenter, subjects))
    sam.packshot_config = sam.packshot_config | {"score_line": line, "expected_iou": fitted}
    return sam


def _from_shards(folders: Sequence[Path], count: int, size_px: int) -> list[Subject]:
    """An object or a part of each of `count` pictures of shards."""
    rng, pictures = np.random.default_rng(CALIBRATION), Shards(folders)
    subjects: list[Subject] = []
    while len(subjects) < count:
        square = augment(rng, pictures.pick(rng), size_px)
        shown = without_padding(square[..., :3])
        height, width = shown.shape[:2]
        subjects += [
            Subject(f"shard-{len(subjects)}", shown, target[:height, :width] > 127)
            for target in draw_targets(rng, square, 1)
        ]
    return subjects


def ship(sam: Any, folder: Path) -> dict[str, Any]:
    """Write `segmenter.safetensors` (fp16) into the pack and its role into the manifest, whose other roles stay.

    Returns the role.
    """
    config = {key: list(v) if isinstance(v, tuple) else v for key, v in sam.packshot_config.items()}
    return roles.ship(folder, "segmenter", "Sam", config, sam)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--pictures", type=int, default=COUNTS["subset"].subjects, help="pictures of each held-out set")
    parser.add_argument("--size-px", type=int, default=CONFIG["image_size"], help="side of the segmenter's input")
    parser.add_argument(
        "--start", type=Path, help="average with the weights of this pack's file, where the run started"
    )
    parser.add_argument(
        "--held-out", type=Path, nargs="*", default=(), help="shards to which scores are calibrated too"
    )
    parser.add_argument("--ship", type=Path, help="write the segmenter into the pack in this folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sam, seen = load(options.run, options.size_px, options.start)
    if options.ship:
        print(json.dumps(ship(calibrated(sam, options.size_px, held_out=options.held_out), options.ship)))
        return
    cpu = torch.device("cpu")
    segmenter = Segmenter(SamEncoder(sam, cpu, torch.float32), SamDecoder(sam, cpu))
    figures, _ = mask_figures(segmenter, options.pictures, options.size_px)
    print(json.dumps({"seen": seen, "size_px": options.size_px} | figures))


if __name__ == "__main__":
    main()
