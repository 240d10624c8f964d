"""The segmenter: a SAM of 4 M parameters, trained on a CPU in about an hour.

A training step follows SAM's paper on a smaller scale (Kirillov et al. 2023, appendix A):

1. Encode a batch of pictures once.
2. Draw some objects or parts of each picture, and a prompt for each: a jittered box or a click.
3. Decode. Of the masks 1-3 only the best gets the loss, so that an ambiguous click may have three meanings. Mask 0 is
   the single answer and always gets it. The loss is focal + Dice on the masks, and the squared error of the predicted
   IoU.
4. Click where the best mask is wrong, give the mask back as a prompt, decode again, and add that loss; `ROUNDS` times.

The first part of the training uses smaller pictures, twice as many at a step; the rest uses full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from packshot.models.segment.mask_prompt import SURE_LOGIT
from packshot.models.segment.network import build_sam
from packshot.training.fit import Loss, fit
from packshot.training.progress import Run, TrainingOptions, read_checkpoint
from training.mini.shards import Shards

U8 = NDArray[np.uint8]

CONFIG: dict[str, Any] = {
    "image_size": 384,
    "patch_size": 16,
    "encoder_embed_dim": 192,
    "encoder_depth": 6,
    "encoder_heads": 6,
    "window_size": 8,
    "global_attn_indexes": [2, 5],
    "relative_positions": False,
    "out_chans": 128,
    "mask_in_chans": 16,
    "decoder_depth": 2,
    "decoder_mlp_dim": 256,
    "decoder_heads": 4,
    "iou_hidden_dim": 128,
    "detail": [16, 32, 64],
    "mask_stride": 4,
}
SETS_PER_PICTURE = 4
ROUNDS = (1, 1, 2)
"""Corrections of the prompt sets of a batch, one of these numbers by chance."""
SMALLEST_PX = 48
"""Smallest area of a target in a picture, in pixels."""
SMALL_PX = 256
"""Side of the pictures in the first part of the training."""
EMA = 0.998
PADDING = (124, 116, 104)
"""The colour beyond a picture's right and bottom side."""
CLICK, BACKGROUND_CLICK, PAD, BOX_FROM, BOX_TO = 1, 0, -1, 2, 3
"""SAM's labels of prompt tokens."""


@dataclass
class Batch:
    """A batch of B pictures with K prompt sets of N tokens each.

    `pixels` is float (B, 3, S, S), normalised. `targets` is float (B, K, S/4, S/4) in 0..1. `coords` is (B K, N, 2) in
    pixels of S, and `labels` is (B K, N).
    """

    pixels: Tensor
    targets: Tensor
    coords: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(*(tensor.to(device) for tensor in vars(self).values()))


def augment(rng: np.random.Generator, rows: U8, size_px: int) -> U8:
    """Augment a picture with its labels (uint8 SxSx5): mirror, rotate, crop to a photo's aspect ratio at some zoom.

    The longest side is resized to `size_px`, and right and bottom are padded as in SAM.
    """
    if rng.random() < 0.5:
        rows = rows[:, ::-1]
    if rng.random() < 0.3:
        rows = np.rot90(rows, int(rng.integers(1, 4)))
    side = rows.shape[0]
    longest = int(side * (rng.uniform(0.5, 1.0) if rng.random() < 0.5 else 1.0))
    height = width = longest
    if rng.random() < 0.7:
        short = int(longest * rng.choice([0.667, 0.75, 0.5625, 0.8]))
        height, width = (short, longest) if rng.random() < 0.65 else (longest, short)
    y, x = rng.integers(side - height + 1), rng.integers(side - width + 1)
    rows = rows[y : y + height, x : x + width]
    scale = size_px / longest
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image, labels = np.ascontiguousarray(rows[..., :3]), np.ascontiguousarray(rows[..., 3:])
    square = np.zeros((size_px, size_px, 5), np.uint8)
    square[..., :3] = PADDING
    inside = square[: size[1], : size[0]]
    inside[..., :3] = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    inside[..., 3:] = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        gains = rng.normal(1, 0.08, 3) * rng.uniform(0.8, 1.2)
        inside[..., :3] = np.clip(inside[..., :3] * gains, 0, 255)
    return square


def without_padding(square: U8) -> U8:
    """The picture without the padding at its right and bottom, uint8 hxwx3."""
    shown = (square != np.array(PADDING, np.uint8)).any(2)
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return np.ascontiguousarray(square[: rows[-1] + 1, : columns[-1] + 1])


def draw_targets(rng: np.random.Generator, square: U8, count: int) -> list[U8]:
    """Masks (uint8 SxS of 0 and 255) of `count` random objects or parts of an augmented picture; none without objects.

    A picture with fewer objects repeats them. A part is chosen instead of its object in one of three cases.
    """
    objects, parts = square[..., 3], square[..., 4]
    areas = np.bincount(objects.ravel(), minlength=256)
    numbers = [number for number in range(1, 256) if SMALLEST_PX <= areas[number] < 0.9 * objects.size]
    if not numbers:
        return []
    order = [int(number) for number in rng.permutation(numbers)]
    targets = []
    for index in range(count):
        number = order[index % len(order)]
        whole = objects == number
        shares = np.bincount(parts[whole], minlength=2)
        pieces = [p for p in range(1, len(shares)) if SMALLEST_PX <= shares[p] < 0.9 * areas[number]]
        chosen = whole & (parts == rng.choice(pieces)) if pieces and rng.random() < 0.33 else whole
        targets.append(chosen.astype(np.uint8) * 255)
    return targets


def first_prompt(rng: np.random.Generator, mask: U8, clicks: int) -> tuple[NDArray[np.float32], list[int]]:
    """A random prompt for a mask (uint8 SxS, not empty): a jittered box, or a click and a padding token.

    `clicks` further random clicks follow. Returns the coordinates in pixels and the labels.
    """
    rows, columns = np.nonzero(mask > 127)
    if rng.random() < 0.45:
        x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        reach = np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
        corners = np.clip(np.array([x0, y0, x1, y1]) + rng.normal(0, 0.04, 4) * reach, 0, mask.shape[0] - 1)
        coords, labels = list(corners.reshape(2, 2)), [BOX_FROM, BOX_TO]
    else:
        coords, labels = [_inside(rng, mask, rows, columns), np.zeros(2)], [CLICK, PAD]
    for _ in range(clicks):
        if rng.random() < 0.6:
            coords.append(_inside(rng, mask, rows, columns))
            labels.append(CLICK)
        else:
            outside = np.argwhere(mask <= 127)
            coords.append(outside[rng.integers(len(outside))][::-1])
            labels.append(BACKGROUND_CLICK)
    return np.array(coords, np.float32), labels


def _inside(rng: np.random.Generator, mask: U8, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    """A random pixel of the product. Half of the time it is far from the border, because people click there."""
    picks = rng.integers(len(rows), size=8 if rng.random() < 0.5 else 1)
    if len(picks) > 1:
        depth = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
        picks = picks[[int(np.argmax(depth[rows[picks], columns[picks]]))]]
    return np.array([columns[picks[0]], rows[picks[0]]], np.float32)


def draw_batch(rng: np.random.Generator, shards: Shards, pictures: int, size_px: int) -> Batch:
    """Draw a batch of `pictures` augmented pictures with a side of `size_px`."""
    clicks = int(rng.choice([0, 1, 2], p=[0.8, 0.15, 0.05]))
    squares: list[U8] = []
    targets, coords, labels = [], [], []
    quarter = size_px // 4
    while len(squares) < pictures:
        square = augment(rng, shards.pick(rng), size_px)
        masks = draw_targets(rng, square, SETS_PER_PICTURE)
        if not masks:
            continue
        squares.append(square[..., :3])
        for mask in masks:
            at, kinds = first_prompt(rng, mask, clicks)
            coords.append(at)
            labels.append(kinds)
            targets.append(cv2.resize(mask, (quarter, quarter), interpolation=cv2.INTER_AREA))
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    return Batch(
        ((pixels - mean) / std).contiguous(memory_format=torch.channels_last),
        torch.from_numpy(np.stack(targets)).float().div_(255).view(pictures, SETS_PER_PICTURE, quarter, quarter),
        torch.from_numpy(np.stack(coords)),
        torch.tensor(labels),
    )


def prompt_tokens(sam: Any, coords: Tensor, labels: Tensor, size_px: int) -> Tensor:
    """Convert coordinates (B, N, 2) in pixels of a size_px square and SAM's labels (B, N) to tokens (B, N, C)."""
    encoder = sam.prompt_encoder
    table = torch.cat([encoder.not_a_point_embed.weight, *(e.weight for e in encoder.point_embeddings)])  # label + 1
    with torch.autocast(coords.device.type, enabled=False):  # bf16 is too imprecise for coordinates
        positions: Tensor = encoder.pe_layer.forward_with_coords(coords + 0.5, (size_px, size_px))
    return positions * (labels != PAD)[..., None] + table[labels + 1]


def losses(logits: Tensor, quality: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mask loss, the IoU loss and the true IoU of each mask (B K, 4). `target` is (B K, h, w)."""
    wanted = target[:, None].expand_as(logits)
    chance = logits.sigmoid()
    miss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    focal = (miss * (chance - wanted).square()).mean((2, 3))
    overlap, total = (chance * wanted).sum((2, 3)), (chance + wanted).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    with torch.no_grad():
        yes, truth = logits > 0, wanted > 0.5
        iou = (yes & truth).sum((2, 3)) / (yes | truth).sum((2, 3)).clamp(min=1)
    return 10 * focal + dice, (quality - iou).square(), iou


def round_loss(logits: Tensor, quality: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of one decoding, the mean IoU of the best masks, and the index of the best mask of each set.

    The loss is that of mask 0, plus that of the best of masks 1-3, plus a small share of all of these, without which a
    mask that is never the best would not be trained.
    """
    mask_loss, iou_loss, iou = losses(logits, quality, target)
    best, row = mask_loss[:, 1:].min(1)
    loss = (mask_loss[:, 0] + best + 0.05 * mask_loss[:, 1:].mean(1)).mean() + iou_loss.mean()
    return loss, iou[:, 1:].max(1).values.mean(), row + 1


def corrective_clicks(rng: np.random.Generator, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A click in a wrong region of each mask (B K, h, w).

    Returns coordinates (B K, 1, 2) in pixels of the input, whose side is 4 h, and labels (B K, 1).
    """
    wrong, truth = ((logits > 0) != (target > 0.5)).numpy(), (target > 0.5).numpy()
    coords, labels = [], []
    for errors, product in zip(wrong, truth, strict=True):
        places = np.argwhere(errors if errors.any() else product)
        if len(places) > 12:  # prefer the middle of the wrong region to its border
            depth = cv2.distanceTransform(errors.astype(np.uint8), cv2.DIST_L2, 3)
            picks = places[rng.integers(len(places), size=6)]
            place = picks[int(np.argmax(depth[picks[:, 0], picks[:, 1]]))]
        else:
            place = places[rng.integers(len(places))] if len(places) else np.zeros(2, int)
        coords.append([[place[1] * 4 + 1.5, place[0] * 4 + 1.5]])
        labels.append([CLICK if product[place[0], place[1]] else BACKGROUND_CLICK])
    return torch.tensor(coords, dtype=torch.float32), torch.tensor(labels)


def mask_prompts(sam: Any, rng: np.random.Generator, logits: Tensor) -> Tensor:
    """Embed masks (B, h, w) that were given as logits: most as a mask of the photo, some with their uncertainty.

    One in five is left out, because not every client gives the last answer back.
    """
    with torch.no_grad():
        sure = torch.where(logits > 0, SURE_LOGIT, -SURE_LOGIT)
        soft = torch.from_numpy(rng.random(len(logits)) < 0.25).to(logits.device)
        given = torch.where(soft[:, None, None], logits.clamp(-SURE_LOGIT, SURE_LOGIT), sure)
        left_out = torch.from_numpy(rng.random(len(logits)) < 0.2).to(logits.device)
    embedded: Tensor = sam.prompt_encoder.mask_downscaling(given[:, None])
    return torch.where(
        left_out[:, None, None, None], sam.prompt_encoder.no_mask_embed.weight[..., None, None], embedded
    )


def step_loss(sam: Any, batch: Batch, rng: np.random.Generator, size_px: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch with pictures of `size_px`, and its metrics: first masks' loss and IoU, corrected IoU."""
    features, maps = sam.image_encoder.encode_with_maps(batch.pixels)
    features, *maps = (m.repeat_interleave(SETS_PER_PICTURE, dim=0) for m in (features, *maps))
    with torch.autocast(batch.pixels.device.type, enabled=False):
        positions = sam.prompt_encoder.pe_layer((size_px // 16, size_px // 16))[None]
    target = batch.targets.flatten(0, 1)
    coords, labels, masks = batch.coords, batch.labels, sam.prompt_encoder.no_mask_embed.weight[..., None, None]
    total = target.new_zeros(())
    metrics: dict[str, Tensor] = {}
    rounds = int(rng.choice(ROUNDS))
    for turn in range(1 + rounds):
        tokens = prompt_tokens(sam, coords, labels, size_px)
        logits, quality = sam.mask_decoder.decode(features, positions, tokens, masks, maps)
        loss, iou, row = round_loss(logits.float(), quality.float(), target)
        total = total + loss
        if turn == 0:
            metrics |= {"loss": loss, "iou": iou}
        if turn < rounds:
            chosen = logits.detach().float()[torch.arange(len(row)), row]
            more, kinds = (found.to(target.device) for found in corrective_clicks(rng, chosen.cpu(), target.cpu()))
            coords, labels = torch.cat([coords, more], dim=1), torch.cat([labels, kinds], dim=1)
            masks = mask_prompts(sam, rng, chosen)
    return total, metrics | {"iou_corrected": iou}


def warm_weights(sam: nn.Module, warm: Path) -> dict[str, Tensor]:
    """The weights to start from: those of a run's folder or of a pack's file, where name and shape fit, else `sam`'s.

    The second edition's maps of all three sizes were skips; this one's are the last two. Positions are resized, so a
    network may start from one with another input size.
    """
    own = sam.state_dict()
    found = load_file(warm) if warm.is_file() else read_checkpoint(warm)["ema"]
    if "image_encoder.skips.2.weight" in found and "image_encoder.skips.2.weight" not in own:
        for name in ("weight", "bias"):
            for index in range(2):
                found[f"image_encoder.skips.{index}.{name}"] = found[f"image_encoder.skips.{index + 1}.{name}"]
    positions = found["image_encoder.pos_embed"].float().permute(0, 3, 1, 2)
    side = own["image_encoder.pos_embed"].shape[1]
    resized = functional.interpolate(positions, (side, side), mode="bilinear")
    found["image_encoder.pos_embed"] = resized.permute(0, 2, 3, 1)
    return {k: found[k].float() if k in found and found[k].shape == own[k].shape else v for k, v in own.items()}


def train(
    out: Path,
    shards: Sequence[Path],
    plan: TrainingOptions,
    full_px: int = CONFIG["image_size"],
    small_share: float = 0.8,
    warm: Path | None = None,
) -> nn.Module:
    """Train the segmenter with averaged weights, or resume its training.

    The first `small_share` of the plan uses pictures of SMALL_PX, the rest of `full_px`. `full_px` must be a multiple
    of 32. `warm` is the folder of a run, or the segmenter's file of a pack, from whose weights the training starts.
    """
    run = Run(out, plan.filled(batch=8, lr=8e-4, seed=0))
    sam = build_sam(CONFIG).train()
    if warm:
        sam.load_state_dict(warm_weights(sam, warm))
    sam.to(run.plan.device, memory_format=torch.channels_last)
    weights = [weight for weight in sam.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=run.plan.lr, weight_decay=0.03, betas=(0.9, 0.98), fused=True)
    pictures = Shards(shards)

    def loss() -> Loss:
        small = run.done < small_share
        size_px, count = (SMALL_PX, 2 * run.plan.batch) if small else (full_px, run.plan.batch)
        batch = draw_batch(run.rng, pictures, count, size_px).to(run.plan.device)
        value, metrics = step_loss(sam, batch, run.rng, size_px)
        return Loss(value, count, metrics)

    return fit(run, sam, optimizer, loss, ema=EMA, on_log=pictures.refresh)
