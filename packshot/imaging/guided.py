"""The soft edge by a guided filter: for masks made before matting existed, and where the matting cannot be solved.

A mask of version 0.1.0 keeps its cutout, whose size and place the layers of stored shots refer to. So `cut_guided` must
not change.
"""

from __future__ import annotations

import cv2
import numpy as np

from packshot.imaging.matting import disk
from packshot.imaging.tiles import REACH_PX, Bools, nearby_colours, on_tiles
from packshot.types import F32, U8, Cutout, Mask, Photo

__all__ = ["GUIDED_LOCK_PX", "cut_guided", "guided_alpha"]

GUIDED_LOCK_PX = 2  # pixels deeper than this inside the mask are opaque and keep the photo's colours
BAND_PX = 2  # the soft edge ends at this distance outside the mask
GUIDE_RADIUS_PX = 2  # radius of the guided filter's window
GUIDE_EPS = 4e-4  # regularisation, as a variance of values in 0..1: the filter ignores edges fainter than 2 %
STEEPEN = 2.0  # where the photo shows no edge, the filter's ramp is 8 px wide; twice as steep, it ends within the band


def cut_guided(photo: Photo, mask: Mask) -> Cutout:
    """The product with a soft edge, cropped to the pixels whose alpha is not 0.

    `photo` and `mask` have the same size, and the mask has a product pixel. Alpha is 255 in the mask eroded by 2 px,
    and 0 beyond 2 px outside the mask.
    """
    x0, y0, x1, y1 = mask.bbox_xyxy
    margin = BAND_PX + 1
    around = np.s_[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin]
    rgb = photo.pixels[around]
    alpha = guided_alpha(rgb, (mask.pixels[around] >= 128).astype(np.uint8))
    ys, xs = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    crop = np.s_[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    alpha = np.ascontiguousarray(alpha[crop])
    rgba = cv2.cvtColor(_clean_fringe(rgb[crop], alpha), cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(alpha, rgba, 3)
    return Cutout(np.asarray(rgba, np.uint8))


def guided_alpha(rgb: U8, hard: U8) -> U8:
    """The product's alpha, uint8 HxW. `rgb` is uint8 HxWx3, `hard` is the mask, uint8 HxW of 0 and 1."""
    inside = cv2.erode(hard, disk(GUIDED_LOCK_PX))  # beyond the crop counts as product: the frame is no border
    reach = cv2.dilate(hard, disk(BAND_PX))
    alpha = _refine(rgb, hard, (reach > 0) & (inside == 0))
    alpha[inside > 0] = 255
    alpha[reach == 0] = 0
    return alpha


def _refine(rgb: U8, hard: U8, band: Bools) -> U8:
    """Alpha, uint8 HxW: `hard` x 255 outside the band, and the guided filter's result inside it."""
    alpha = hard * np.uint8(255)
    smooth = np.asarray(cv2.GaussianBlur(hard.astype(np.float32), (5, 5), 1), np.float32)
    for at, soft in on_tiles(band, _guided, rgb, smooth, halo=2 * GUIDE_RADIUS_PX, border=cv2.BORDER_REFLECT):
        alpha.reshape(-1)[at] = np.rint(np.clip((soft - 0.5) * STEEPEN + 0.5, 0, 1) * 255).astype(np.uint8)
    return alpha


def _guided(guide: U8, source: F32) -> F32:
    """The guided filter (He, Sun, Tang 2010) with a colour guide, float32 HxW.

    `guide` is uint8 HxWx3 RGB, and `source` is float32 HxW in 0..1. Each output pixel depends on input pixels at most
    2 x GUIDE_RADIUS_PX away.
    """

    def mean(values: F32) -> F32:
        side = 2 * GUIDE_RADIUS_PX + 1
        return np.asarray(cv2.boxFilter(values, cv2.CV_32F, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    r, g, b = (plane.astype(np.float32) / 255 for plane in cv2.split(guide))
    mr, mg, mb, source_mean = mean(r), mean(g), mean(b), mean(source)
    rr, gg, bb = mean(r * r) - mr * mr + GUIDE_EPS, mean(g * g) - mg * mg + GUIDE_EPS, mean(b * b) - mb * mb + GUIDE_EPS
    rg, rb, gb = mean(r * g) - mr * mg, mean(r * b) - mr * mb, mean(g * b) - mg * mb
    # the inverse of the symmetric 3x3 covariance, by cofactors
    crr, crg, crb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    cgg, cgb, cbb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * crr + rg * crg + rb * crb
    cr, cg, cb = (mean(colour * source) - at * source_mean for colour, at in ((r, mr), (g, mg), (b, mb)))
    slope_r = (crr * cr + crg * cg + crb * cb) / determinant
    slope_g = (crg * cr + cgg * cg + cgb * cb) / determinant
    slope_b = (crb * cr + cgb * cg + cbb * cb) / determinant
    offset = source_mean - (slope_r * mr + slope_g * mg + slope_b * mb)
    return np.asarray(mean(slope_r) * r + mean(slope_g) * g + mean(slope_b) * b + mean(offset), np.float32)


def _clean_fringe(rgb: U8, alpha: U8) -> U8:
    """Remove the old background's colour from partly covered pixels: mix in the nearby opaque product's colour."""
    opaque = alpha == 255
    near_opaque = cv2.dilate(opaque.view(np.uint8), np.ones((2 * REACH_PX + 1, 2 * REACH_PX + 1), np.uint8)) > 0
    clean = rgb.copy()
    pixels, flat_alpha = clean.reshape(-1, 3), alpha.reshape(-1)
    for at, near in nearby_colours(rgb, opaque, near_opaque & ~opaque):
        # the lower a pixel's alpha, the smaller the share of the product in its colour
        keep = np.clip(flat_alpha[at].astype(np.float32) / 255 * 2 - 1, 0, 1)[:, None]
        pixels[at] = np.rint(keep * pixels[at] + (1 - keep) * near).astype(np.uint8)
    return clean
