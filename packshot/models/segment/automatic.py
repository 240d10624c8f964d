"""Automatic segmentation: choose the product among the masks of a grid of clicks, when the request has no prompt.

score = predicted IoU x stability x centredness. Stability, as in SAM's automatic mode, is high for a mask that hardly
changes when its threshold moves. Centredness is high for a mask that is near the photo's centre and does not touch its
frame, which distinguishes a product from the table under it.

Where masks are refined, the best one is then asked again with its own box. The photo's colours choose between the two
(`ground.likelier`).

A photo with a backdrop of one uniform colour needs no network: the product is everything except the backdrop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from packshot.models.segment.backdrop import Backdrop
from packshot.types import F32

SHIFT = 1.0
"""Stability compares the masks at logits > SHIFT and > -SHIFT."""
SAME_IOU = 0.7
"""Two masks with a larger IoU count as the same mask."""
SMALLEST, LARGEST = 0.002, 0.9
"""The smallest and the largest share of the photo that a product covers."""

ENCLOSED = np.float32(0.25)
"""The probability that an area of the backdrop's colour is product, for example a label, when no network saw it."""


def grid_points(width: int, height: int, side: int) -> list[tuple[float, float]]:
    """The centres (x, y) of `side` x `side` equal cells of the photo, in photo pixels."""
    centres = [(index + 0.5) / side for index in range(side)]
    return [(x * width, y * height) for y in centres for x in centres]


def most_product_like(logits: F32, predicted_iou: F32, most: int) -> list[tuple[int, float]]:
    """Choose at least one and at most `most` distinct masks, best first. Returns (index, score 0..1) of each.

    `logits` are float32 (N, h, w), cropped to the photo. `predicted_iou` is float32 (N,).
    """
    masks = logits > 0
    area = masks.sum((1, 2))
    score = np.clip(predicted_iou, 0, 1) * stability(logits) * centredness(masks)
    share = area / masks[0].size
    score[(share < SMALLEST) | (share > LARGEST)] = 0
    kept: list[int] = []
    for index in np.argsort(-score, kind="stable"):
        if len(kept) == most or (kept and score[index] <= 0):
            break
        if all(iou(masks[index], masks[other]) <= SAME_IOU for other in kept):
            kept.append(int(index))
    return [(index, float(score[index])) for index in kept]


def stability(logits: F32) -> F32:
    """The stability (N,) of masks with logits (N, h, w): the IoU of the mask at the thresholds +SHIFT and -SHIFT."""
    wide, narrow = (logits > -SHIFT).sum((1, 2)), (logits > SHIFT).sum((1, 2))
    return np.asarray(narrow / np.maximum(wide, 1), np.float32)


def product_on_backdrop(backdrop: Backdrop) -> F32 | None:
    """Everything before a plain backdrop, as probabilities float32 hxw; None when it is too little or too much."""
    share = 1 - np.count_nonzero(backdrop.even) / backdrop.even.size
    return np.where(backdrop.even, ENCLOSED, np.float32(1)) if SMALLEST <= share <= LARGEST else None


def centredness(masks: NDArray[np.bool_]) -> F32:
    """The centredness (N,) of masks, bool (N, h, w): 1 for a mask that is centred and does not touch the frame."""
    height, width = masks.shape[1:]
    area = np.maximum(masks.sum((1, 2)), 1)
    x = (masks.sum(1) @ (np.arange(width) + 0.5)) / area / width - 0.5
    y = (masks.sum(2) @ (np.arange(height) + 0.5)) / area / height - 0.5
    away = np.exp(-(x**2 + y**2) / (2 * 0.25**2))
    rim: Sequence[NDArray[np.bool_]] = (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1])
    on_rim = sum(edge.sum(1) for edge in rim) / (2 * (height + width))
    return np.asarray(away * (1 - on_rim) ** 3, np.float32)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """The intersection over union of two masks; 0 for two empty masks."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0
