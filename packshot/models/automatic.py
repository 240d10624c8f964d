"""Nobody pointed at anything: which of the masks behind a grid of clicks is the product?

score = predicted IoU x stability x centredness. Stability (as in SAM's automatic mode): how little the mask changes when
its threshold moves. Centredness: near the photo's middle, of a product's size, and not running out of the frame, which
tells a product from the table that it stands on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from packshot.types import F32

SHIFT = 1.0
"""Stability compares the masks at logits > +1 and > -1."""
SAME_IOU = 0.7
"""Two masks that overlap more than this are one answer."""
SMALLEST, LARGEST = 0.002, 0.9
"""A product covers between these shares of the photo."""


def grid_points(width: int, height: int, side: int) -> list[tuple[float, float]]:
    """(x, y) in photo pixels: the middles of side x side equal cells."""
    middles = [(index + 0.5) / side for index in range(side)]
    return [(x * width, y * height) for y in middles for x in middles]


def most_product_like(logits: F32, predicted_iou: F32, most: int) -> list[tuple[int, float]]:
    """(row, score 0..1) of up to `most` distinct masks, best first; at least one. `logits` (N, h, w), without padding."""
    masks = logits > 0
    area = masks.sum((1, 2))
    wide, narrow = (logits > -SHIFT).sum((1, 2)), (logits > SHIFT).sum((1, 2))
    score = np.clip(predicted_iou, 0, 1) * (narrow / np.maximum(wide, 1)) * centredness(masks)
    share = area / masks[0].size
    score[(share < SMALLEST) | (share > LARGEST)] = 0
    kept: list[int] = []
    for row in np.argsort(-score, kind="stable"):
        if len(kept) == most or (kept and score[row] <= 0):
            break
        if all(overlap(masks[row], masks[other]) <= SAME_IOU for other in kept):
            kept.append(int(row))
    return [(row, float(score[row])) for row in kept]


def centredness(masks: NDArray[np.bool_]) -> F32:
    """0..1 per mask (N, h, w): 1 for a mask centred in the photo that no edge cuts."""
    height, width = masks.shape[1:]
    area = np.maximum(masks.sum((1, 2)), 1)
    x = (masks.sum(1) @ (np.arange(width) + 0.5)) / area / width - 0.5
    y = (masks.sum(2) @ (np.arange(height) + 0.5)) / area / height - 0.5
    away = np.exp(-(x**2 + y**2) / (2 * 0.25**2))
    rim: Sequence[NDArray[np.bool_]] = (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1])
    on_rim = sum(edge.sum(1) for edge in rim) / (2 * (height + width))
    return np.asarray(away * (1 - on_rim) ** 3, np.float32)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; 0 for two empty masks."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 0.0
