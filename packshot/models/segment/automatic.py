"""Nobody pointed at anything: which of the masks behind a grid of clicks is the product?

score = predicted IoU x stability x centredness. Stability (as in SAM's automatic mode): how little the mask changes
when its threshold moves. Centredness: near the photo's middle, of a product's size, and not running out of the frame,
which tells a product from the table that it stands on.

A photo on one even colour, as cutouts laid over white are, needs no network:
the product is what the colour does not reach.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import F32, U8

SHIFT = 1.0
"""Stability compares the masks at logits > +1 and > -1."""
SAME_IOU = 0.7
"""Two masks that overlap more than this are one answer."""
SMALLEST, LARGEST = 0.002, 0.9
"""A product covers between these shares of the photo."""
EVEN_LEVELS = 6
"""Pixels this close to the backdrop's colour, in every channel, belong to it."""
PLAIN_FRAME = 0.6
"""Share of the photo's frame that an even backdrop takes: a product may run out of the photo."""


def grid_points(width: int, height: int, side: int) -> list[tuple[float, float]]:
    """(x, y) in photo pixels: the middles of side x side equal cells."""
    middles = [(index + 0.5) / side for index in range(side)]
    return [(x * width, y * height) for y in middles for x in middles]


def most_product_like(logits: F32, predicted_iou: F32, most: int) -> list[tuple[int, float]]:
    """(row, score 0..1) of up to `most` distinct masks, best first; at least one. `logits` (N, h, w),
    without padding."""
    masks = logits > 0
    area = masks.sum((1, 2))
    score = np.clip(predicted_iou, 0, 1) * stability(logits) * centredness(masks)
    share = area / masks[0].size
    score[(share < SMALLEST) | (share > LARGEST)] = 0
    kept: list[int] = []
    for row in np.argsort(-score, kind="stable"):
        if len(kept) == most or (kept and score[row] <= 0):
            break
        if all(overlap(masks[row], masks[other]) <= SAME_IOU for other in kept):
            kept.append(int(row))
    return [(row, float(score[row])) for row in kept]


def stability(logits: F32) -> F32:
    """0..1 per mask (N, h, w): how little it changes when its threshold moves by SHIFT either way."""
    wide, narrow = (logits > -SHIFT).sum((1, 2)), (logits > SHIFT).sum((1, 2))
    return np.asarray(narrow / np.maximum(wide, 1), np.float32)


def off_plain_backdrop(photo: U8) -> tuple[F32, float] | None:
    """What stands before a backdrop of one even colour: (0 or 1 hxw, the frame's share of that colour);
    None without one.

    `photo`: hxwx3 RGB. What the colour encloses without reaching the frame is the product's.
    """
    rim = np.concatenate([photo[0], photo[-1], photo[:, 0], photo[:, -1]])
    even = (
        cv2.absdiff(photo, np.broadcast_to(np.median(rim, axis=0).astype(np.uint8), photo.shape)) <= EVEN_LEVELS
    ).all(2)
    labels = cv2.connectedComponents(even.astype(np.uint8), connectivity=4)[1]
    framed = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    plain = float(np.count_nonzero(framed)) / framed.size
    product = np.where(even & np.isin(labels, framed), np.float32(0), np.float32(1))
    return (product, plain) if plain >= PLAIN_FRAME and SMALLEST <= product.mean() <= LARGEST else None


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
