"""The cutout of an upload that was already cut out: its own colours, and a mask's values as alpha.

    RGBA pixels of the upload ──┐
    Mask (its alpha, or a ──────┴──cut_own──> Cutout
          mask painted on it)

Nothing is estimated here. The colours are straight, so no background has to be removed from them.
"""

from __future__ import annotations

import numpy as np

from packshot.errors import BadInput
from packshot.types import U8, BoxXYXY, Cutout, Mask

__all__ = ["cut_own"]


def cut_own(rgba: U8, mask: Mask, bbox_xyxy: BoxXYXY) -> Cutout:
    """The product with the mask's soft values as alpha, cropped to `bbox_xyxy`, in pixels of the photo.

    `rgba` is uint8 HxWx4, straight; fully transparent pixels hold the colour that shows when a mask uncovers them.
    Raises BadInput: mask_empty when the mask holds no product pixel, and invalid_request when the sizes differ.
    """
    alpha = mask.pixels
    if alpha.shape != rgba.shape[:2]:
        sizes = f"{alpha.shape[::-1]} and {rgba.shape[1::-1]}"
        raise BadInput(
            "invalid_request", f"mask and photo must have the same size, got {sizes}; send a mask of this photo"
        )
    if not (alpha >= 128).any():
        raise BadInput("mask_empty", "a mask must hold at least one product pixel, got none; click on the product")
    x0, y0, x1, y1 = bbox_xyxy
    crop = np.s_[y0:y1, x0:x1]
    return Cutout(np.dstack([rgba[crop][..., :3], alpha[crop]]))
