"""A mask as a prompt: the user's mask, or the answer to the previous clicks, which further clicks correct."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.types import F32, U8, Embedding

SURE_LOGIT = 10.0
"""Logit of a pixel that belongs to the mask. A pixel outside has the negative value. SAM's own logits are as large."""


def mask_logits(
    mask: U8, embedding: Embedding, size_px: int, side: int, box: tuple[float, float, float, float] | None = None
) -> F32:
    """The mask prompt as SAM's network takes it: logits, float32 (side, side), over the encoder's square input.

    `mask` is uint8 HxW of the photo's size, 255 = product. `size_px` is the side of the encoder's input. Outside of
    `box` (XYXY in photo pixels), and outside of the photo, there is no product.
    """
    if box is not None:
        inside = np.zeros_like(mask)
        place = slice(int(box[1]), int(np.ceil(box[3]))), slice(int(box[0]), int(np.ceil(box[2])))
        inside[place] = mask[place]
        mask = inside
    width = max(1, round(embedding.input_width * side / size_px))
    height = max(1, round(embedding.input_height * side / size_px))
    coverage = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    logits = np.full((side, side), -SURE_LOGIT, np.float32)
    logits[:height, :width] = (2 * coverage - 1) * SURE_LOGIT
    return logits
