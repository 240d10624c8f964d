"""Train how the segmenter answers prompts, on features that are computed once.

The image encoder takes nine tenths of a training step, and corrections are learned by the prompt encoder and the mask
decoder alone. So the encoder stays as it is: `write_seen` encodes augmented pictures once, and `train` reads them:

1. Draw some objects or parts of each picture, and a box or a click for each (`training.mini.segmenter`).
2. Decode, and take the mask that would be served: mask 0 for a clear prompt, else the most stable and most trusted of
   masks 1-3. Some masks are refined to the photo's edges, as they are for a user.
3. Click where that mask is wrong, give it back as a prompt, and decode again; `ROUNDS` times. So the network learns to
   correct its own mistakes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from packshot.models.segment.automatic import stability
from packshot.models.segment.mask_prompt import SURE_LOGIT
from packshot.models.segment.network import IMAGENET_MEAN, IMAGENET_STD, build_sam
from packshot.models.segment.refine import Guide, guide, shape, within_box
from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions
from packshot.types import F32, U8
from training.mini.evaluation.pointing import correction
from training.mini.segmenter import (
    BOX_FROM,
    CONFIG,
    SETS_PER_PICTURE,
    augment,
    corrective_clicks,
    draw_targets,
    first_prompt,
    losses,
    mask_prompts,
    prompt_tokens,
    warm_weights,
    without_padding,
)
from training.mini.shards import Shards

PER_FILE = 64
PARTS = ("features", "quarter", "eighth", "squares")
"""The files of PER_FILE pictures. A reader looks for the last one."""
ROUNDS = (2, 3)
"""Corrections of the prompt sets of a batch, one of these numbers by chance."""
SERVED_SHARE = 0.7
"""The share of corrections of the mask that would be served. The others correct the best of masks 1-3."""
REFINED_SHARE = 0.12
"""The share of corrected masks that are refined first, because it takes as long as decoding them."""
LARGEST_ERROR_SHARE = 0.6
"""The share of corrective clicks in the middle of the largest wrong region. The others are anywhere in a wrong one."""
SCORE_WEIGHT = 3.0
"""Weight of the loss of the predicted IoU."""
EMA = 0.995


class Seen(NamedTuple):
    """N pictures with their features. `squares` are uint8 (N, S, S, 5): RGB, each pixel's object and its part.

    `features` are float16 (N, C, S/16, S/16), and `maps` the stem's maps at 1/4 and 1/8 of S, float16.
    """

    squares: U8
    features: NDArray[np.float16]
    maps: tuple[NDArray[np.float16], ...]


def write_seen(out: Path, pictures: Shards, warm: Path, count: int, *, side_px: int, seed: int = 0) -> None:
    """Encode `count` augmented pictures of `side_px` with the weights `warm`, and write them. It can be resumed."""
    out.mkdir(parents=True, exist_ok=True)
    sam: Any = build_sam(CONFIG)
    sam.load_state_dict(warm_weights(sam, warm))
    encoder = sam.image_encoder.to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    for number in range(-(-count // PER_FILE)):
        name = f"{seed:03d}-{number:04d}"
        if (out / f"{name}.{PARTS[-1]}.npy").exists():
            continue
        rng = np.random.default_rng([seed, number])
        squares: list[U8] = []
        while len(squares) < min(PER_FILE, count - number * PER_FILE):
            square = augment(rng, pictures.pick(rng), side_px)
            if draw_targets(rng, square, 1):
                squares.append(square)
        found: list[list[NDArray[np.float16]]] = []
        for start in range(0, len(squares), 8):
            image = torch.from_numpy(np.stack(squares[start : start + 8])[..., :3]).permute(0, 3, 1, 2)
            pixels = ((image.float() - mean) / std).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                features, maps = encoder.encode_with_maps(pixels)
            found.append([part.half().contiguous().numpy() for part in (features, *maps)])
        arrays = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        for part, array in zip(PARTS, (*arrays, np.stack(squares)), strict=True):
            _save(out / f"{name}.{part}.npy", array)


def _save(path: Path, array: NDArray[Any]) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, array)
    partial.replace(path)


class SeenPictures:
    """Random access to the pictures that `write_seen` wrote, memory-mapped.

    Raises FileNotFoundError when there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, list[NDArray[Any]]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Open the files that were added since the last call."""
        for path in sorted(self._folder.glob(f"*.{PARTS[-1]}.npy")):
            name = path.name.partition(".")[0]
            if name not in self._open:
                parts = [self._folder / f"{name}.{part}.npy" for part in PARTS]
                self._open[name] = [np.load(part, mmap_mode="r") for part in parts]
        if not self._open:
            raise FileNotFoundError(
                f"{self._folder} must hold encoded pictures, got none; run `python -m training.mini seen` first"
            )

    def pick(self, rng: np.random.Generator, count: int) -> Seen:
        """`count` random pictures of one file."""
        features, quarter, eighth, squares = list(self._open.values())[rng.integers(len(self._open))]
        rows = np.sort(rng.choice(len(squares), count, replace=False))
        return Seen(squares[rows], features[rows], (quarter[rows], eighth[rows]))


def train(out: Path, seen: Path, warm: Path, plan: TrainingOptions) -> nn.Module:
    """Train the prompt encoder and the mask decoder of `warm` with averaged weights, or resume their training.

    `warm` is the folder of a run, or the segmenter's file of a pack: its image encoder must have made `seen`, and stays
    unchanged.
    """
    run = Run(out, plan.filled(batch=8, lr=3e-4, seed=0))
    sam: Any = build_sam(CONFIG).train()
    sam.load_state_dict(warm_weights(sam, warm))
    sam.image_encoder.requires_grad_(False)
    sam.to(run.plan.device, memory_format=torch.channels_last)
    weights = [weight for weight in sam.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=run.plan.lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    pictures = SeenPictures(seen)

    def loss() -> Loss:
        return step(sam, pictures.pick(run.rng, run.plan.batch), run.rng)

    return fit(run, sam, optimizer, loss, ema=EMA, on_log=pictures.refresh)


def step(sam: Any, seen: Seen, rng: np.random.Generator) -> Loss:
    """The loss of a batch over its rounds, and the IoU of the served masks before and after the corrections."""
    side_px = seen.squares.shape[1]
    owners, targets, coords, labels = [], [], [], []
    clicks = int(rng.choice([0, 1], p=[0.9, 0.1]))
    for index, square in enumerate(seen.squares):
        for mask in draw_targets(rng, square, SETS_PER_PICTURE):
            at, marks = first_prompt(rng, mask, clicks)
            owners.append(index)
            coords.append(at)
            labels.append(marks)
            targets.append(cv2.resize(mask, (side_px // 4, side_px // 4), interpolation=cv2.INTER_AREA))
    looks = Looks(seen.squares)
    points, kinds = torch.from_numpy(np.stack(coords)), torch.tensor(labels)
    target = torch.from_numpy(np.stack(targets)).float() / 255
    features = torch.from_numpy(seen.features[owners]).float()
    maps = [
        torch.from_numpy(part[owners]).bfloat16().contiguous(memory_format=torch.channels_last) for part in seen.maps
    ]
    with torch.autocast("cpu", enabled=False):
        positions = sam.prompt_encoder.pe_layer((side_px // 16, side_px // 16))[None]
    masks = sam.prompt_encoder.no_mask_embed.weight[..., None, None]
    total, metrics = target.new_zeros(()), dict[str, Tensor]()
    rounds = int(rng.choice(ROUNDS))
    for turn in range(1 + rounds):
        clear = turn > 0 or clicks > 0
        tokens = prompt_tokens(sam, points, kinds, side_px)
        logits, quality = sam.mask_decoder.decode(features, positions, tokens, masks, maps)
        logits, quality = logits.float(), quality.float()
        mask_loss, score_loss, overlap = losses(logits, quality, target)
        best, row = mask_loss[:, 1:].min(1)
        total = total + (mask_loss[:, 0] + best + 0.05 * mask_loss[:, 1:].mean(1)).mean() / (1 + rounds)
        total = total + SCORE_WEIGHT * score_loss.mean() / (1 + rounds)
        with torch.no_grad():
            boxed = kinds[:, 0] == BOX_FROM
            trust = quality[:, 1:] * torch.from_numpy(stability(logits[:, 1:].flatten(0, 1).numpy())).view(-1, 3)
            served = torch.where(boxed | clear, 0, 1 + trust.argmax(1))
            every = torch.arange(len(served))
            metrics |= {f"iou_{min(turn, 2)}": overlap[every, served].mean()}
            if turn == rounds:
                break
            own = torch.from_numpy(rng.random(len(served)) < SERVED_SHARE)
            chosen = logits[every, torch.where(own, served, 1 + row)].clone()
            for row_index in np.flatnonzero(rng.random(len(served)) < REFINED_SHARE).tolist():
                chosen[row_index] = looks.refined(
                    owners[row_index], chosen[row_index], points[row_index], kinds[row_index]
                )
            more, their = corrections(rng, chosen, target)
        points, kinds = torch.cat([points, more], dim=1), torch.cat([kinds, their], dim=1)
        masks = mask_prompts(sam, rng, chosen)
    return Loss(total, len(seen.squares), metrics | {"loss": total, "score_error": score_loss.sqrt().mean()})


class Looks:
    """What pictures show about borders, computed when it is first needed. `squares` are uint8 (N, S, S, 5)."""

    def __init__(self, squares: U8) -> None:
        self._squares = squares
        self._guides: dict[int, Guide] = {}

    def refined(self, index: int, logits: Tensor, points: Tensor, kinds: Tensor) -> Tensor:
        """A mask of picture `index` as it is served: logits (h, w) of a mask on the photo's edges, h = w = S/4."""
        if index not in self._guides:
            self._guides[index] = guide(without_padding(self._squares[index, ..., :3]))
        look = self._guides[index]
        height, width = look.thumbnail.shape[:2]
        large = functional.interpolate(logits[None, None], self._squares.shape[1:3], mode="bilinear")[0, 0]
        probability: F32 = large[:height, :width].sigmoid().numpy()
        boxed = int(kinds[0]) == BOX_FROM
        if boxed:
            x0, y0, x1, y1 = points[:2].flatten().tolist()
            probability = within_box(probability, (x0, y0, x1, y1), (height, width))
        clicks = [(*at, kind) for at, kind in zip(points.tolist(), kinds.tolist(), strict=True) if kind in (0, 1)]
        mask = shape(look, probability, boxed=boxed, clicks=clicks).mask
        square = np.zeros(self._squares.shape[1:3], np.uint8)
        square[:height, :width] = mask
        covered = cv2.resize(255 * square, tuple(logits.shape), interpolation=cv2.INTER_AREA)
        return (torch.from_numpy(covered).float() / 127.5 - 1) * SURE_LOGIT


def corrections(rng: np.random.Generator, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A click that corrects each mask (B, h, w): in the middle of its largest wrong region, or in any wrong region.

    Returns coordinates (B, 1, 2) in pixels of the input, whose side is 4 h, and labels (B, 1).
    """
    coords, labels = corrective_clicks(rng, logits, target)
    found, truth = (logits > 0).numpy(), (target > 0.5).numpy()
    for index in np.flatnonzero(rng.random(len(found)) < LARGEST_ERROR_SHARE):
        click = correction(found[index], truth[index])
        if click is not None:
            coords[index, 0] = torch.tensor(click[:2]) * 4 + 1.5
            labels[index, 0] = click[2]
    return coords, labels
