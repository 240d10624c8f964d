"""A segmenter's candidates as the store keeps them."""

from __future__ import annotations

from packshot.imaging.canvas import cutout_bbox
from packshot.imaging.codec import encode_mask_png
from packshot.imaging.lock import lock_px_of
from packshot.store.records import NewMask
from packshot.types import MaskCandidate

__all__ = ["new_mask"]


def new_mask(candidate: MaskCandidate) -> NewMask:
    """The candidate as a PNG with its area, its box, its lock and its cutout's place in the photo."""
    mask = candidate.mask
    height, width = mask.pixels.shape
    area_px, lock_px = mask.area_px, lock_px_of(width, height)
    return NewMask(
        candidate.score,
        area_px,
        mask.bbox_xyxy,
        encode_mask_png(mask.pixels),
        lock_px=lock_px,
        cutout_bbox_xyxy=cutout_bbox(mask, lock_px) if area_px else (0, 0, 0, 0),
    )
