"""The product's own colours in pixels that it covers in part: the photo's colours less the old background.

A photo's pixel I is a mixture, I = alpha F + (1 - alpha) B. F and B are first estimated from the opaque product and
from the pure background nearby. Then F takes what the mixture leaves unexplained, times alpha (Forte 2021, "Approximate
fast foreground colour estimation"). Where nothing is near, the estimates come from coarser levels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.imaging.tiles import Bools, nearby_colours
from packshot.types import F32, U8

__all__ = ["mixture_explains", "straight_colours"]

LEVELS_PX = ((4, 1.0), (12, 4.0))
"""Radius and sigma of the two fine levels. The nearest colours are the best ones (docs/measurements.md)."""
COARSE_PX, COARSE_SIGMA = 128, 4.0
"""Longer side of the coarse level, and the sigma there. The whole picture's mean fills what is left."""


def straight_colours(rgb: U8, alpha: U8) -> U8:
    """`rgb` (uint8 HxWx3) with the old background removed from its partly covered pixels, 0 < alpha < 255.

    `alpha` is uint8 HxW. Other pixels keep their colours, bit by bit.
    """
    soft = np.flatnonzero((alpha > 0) & (alpha < 255))
    straight = rgb.copy()
    if len(soft) == 0:
        return straight
    own, old = _estimates(rgb, alpha, soft)
    pixels = straight.reshape(-1, 3)
    share = (alpha.reshape(-1)[soft].astype(np.float32) / 255)[:, None]
    rest = pixels[soft] - share * own - (1 - share) * old
    pixels[soft] = np.rint(np.clip(own + share * rest, 0, 255)).astype(np.uint8)
    return straight


def mixture_explains(rgb: U8, alpha: U8) -> bool:
    """Whether product mixed with background explains the partly covered pixels better than the product alone.

    It does not where a person feathered a mask inside of the product; such colours are the product's own already.
    """
    soft = np.flatnonzero((alpha > 0) & (alpha < 255))
    own, old = _estimates(rgb, alpha, soft)
    share = (alpha.reshape(-1)[soft].astype(np.float32) / 255)[:, None]
    seen = rgb.reshape(-1, 3)[soft].astype(np.float32)
    return float(np.square(seen - share * own - (1 - share) * old).sum()) < float(np.square(seen - own).sum())


def _estimates(rgb: U8, alpha: U8, soft: NDArray[np.intp]) -> tuple[F32, F32]:
    """Colours of the product and of the background at the pixels `soft`, float32 Nx3 each, in 0..255."""
    own = _filled(rgb, alpha == 255, soft)
    return own, _filled(rgb, alpha == 0, soft, otherwise=own)


def _filled(rgb: U8, source: Bools, at: NDArray[np.intp], otherwise: F32 | None = None) -> F32:
    """The mean colour of the `source` pixels near the pixels `at` (ascending), float32 Nx3.

    Without any source pixel the result is `otherwise`, or else the pixels' own colours.
    """
    if not source.any():
        return rgb.reshape(-1, 3)[at].astype(np.float32) if otherwise is None else otherwise
    colours, missing = np.empty((len(at), 3), np.float32), np.zeros(source.shape, bool)
    missing.reshape(-1)[at] = True
    for reach_px, sigma in LEVELS_PX:
        for found, near in nearby_colours(rgb, source, missing.copy(), reach_px=reach_px, sigma=sigma):
            colours[np.searchsorted(at, found)] = near
            missing.reshape(-1)[found] = False
    left = np.flatnonzero(missing)
    if len(left):
        colours[np.searchsorted(at, left)] = _far_colours(rgb, source, left)
    return colours


def _far_colours(rgb: U8, source: Bools, at: NDArray[np.intp]) -> F32:
    """The mean colour of the `source` pixels, nearer ones counting more, from a small copy of the picture."""
    height, width = source.shape
    scale = min(1.0, COARSE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    weight = source.view(np.uint8)
    planes = [cv2.copyTo(plane, weight) for plane in cv2.split(rgb)] + [weight]
    small = np.dstack([cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA) for plane in planes])
    small = np.atleast_3d(cv2.GaussianBlur(small, (0, 0), COARSE_SIGMA)) + 1e-4 * small.mean(axis=(0, 1))
    rows, columns = np.divmod(at, width)
    near = small[rows * size[1] // height, columns * size[0] // width]
    return np.asarray(near[:, :3] / near[:, 3:], np.float32)
