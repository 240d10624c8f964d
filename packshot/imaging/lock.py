"""How far a mask's border may be wrong, and where its cutout therefore lies in the photo.

Inside the mask eroded by `lock_px` the product is opaque and keeps the photo's exact pixels. The soft edge lies between
there and `reach_px` outside the mask. So a cutout's place is known before the cutout is made.
"""

from __future__ import annotations

from packshot.types import BoxXYXY

__all__ = ["EXACT_LOCK_PX", "cutout_bbox_of", "lock_px_of", "reach_px"]

EXACT_LOCK_PX = 2
"""The lock of a mask that was made at the photo's resolution."""
LEAST_LOCK_PX = 4
"""The least lock of a mask that a segmenter found, or a hand painted: in a small photo too it is off by pixels."""
MASK_PX = 256
"""Resolution of a segmenter's mask along the photo's longer side. Strokes of a hand are no more exact."""
DOUBT = 0.75
"""A border found at that resolution may be wrong by this share of one of its pixels."""
MIN_REACH_PX = 3


def lock_px_of(width: int, height: int) -> int:
    """The lock of a segmenter's or painted mask of a photo of `width` x `height` pixels, in pixels."""
    return max(LEAST_LOCK_PX, round(DOUBT * max(width, height) / MASK_PX))


def reach_px(lock_px: int) -> int:
    """How far outside of its mask a cutout with this lock may have a soft edge, in pixels."""
    return max(MIN_REACH_PX, lock_px)


def cutout_bbox_of(shown: BoxXYXY, lock_px: int, width: int, height: int) -> BoxXYXY:
    """A cutout's place in a photo of `width` x `height` pixels: `shown`, grown by the reach of the soft edge.

    `shown` is the box of all pixels of the mask above 0, XYXY in pixels.
    """
    reach = reach_px(lock_px)
    x0, y0, x1, y1 = shown
    return (max(0, x0 - reach), max(0, y0 - reach), min(width, x1 + reach), min(height, y1 + reach))
