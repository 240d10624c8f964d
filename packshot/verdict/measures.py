"""Measure what the pictures of a set have in common: the product's place, the background, the shadow, the sharpness.

All but the place is measured on a smaller copy, so it costs a few milliseconds.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from packshot.contract.verdict import Measures
from packshot.types import F32, U8, BoxXYXY, Flat, Mask

__all__ = ["measure"]

COLOUR_PX = 256
"""Colours and the shadow are measured in a copy that is reduced by a whole number, to no less than this, pixels."""
SHARP_PX = 800
"""The same for sharpness."""
EDGE_PX = 3
"""Pixels around the product that do not count as background: its soft edge, and what a smaller copy mixes into it."""
MIN_SEEN = 0.005
"""Share of the copy that must be background for its colour to be measured."""

SHADOW_DEPTH = 4.0
"""Steps of L* by which a pixel must be darker than its row to count as shadow."""
SHADOW_REACH = 0.6
"""How far from the product's base its shadow is looked for, as a share of the product's size."""
SHADOW_LEAN = 0.12
"""A shadow whose centre is no farther than this from its base's, as a share of the product's size, has no direction."""


def measure(flat: Flat, picture: U8, *, generated: bool) -> Measures | None:
    """Measure a finished picture, uint8 HxWx3 RGB or HxWx4 RGBA of the layout's size. None without a visible product.

    A transparent picture has no background. Only a generated scene has a sharpness: the mean absolute Laplacian of its
    grey values 0..255. It compares pictures of one size.
    """
    alpha = cv2.extractChannel(flat.pixels, 3)
    box = Mask(alpha).bbox_xyxy
    if box[2] == 0:
        return None
    height, width = alpha.shape
    place = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    if picture.shape[2] == 4:
        return Measures(box=place)
    small, seen = _reduced(picture, alpha, max(1, max(height, width) // COLOUR_PX))
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    if cv2.countNonZero(seen) < MIN_SEEN * seen.size:
        return Measures(box=place)
    mean = cv2.mean(lab, mask=seen)
    return Measures(
        box=place,
        background_lab=(mean[0], mean[1], mean[2]),
        sharpness=_sharpness(picture, alpha) if generated else None,
        shadow_deg=_shadow_deg(np.ascontiguousarray(lab[..., 0]), seen, place),
    )


def _reduced(picture: U8, alpha: U8, by: int) -> tuple[U8, U8]:
    """(picture, background) at 1 / `by` of their size; the background is uint8 hxw, 255 = seen."""
    height, width = alpha.shape
    whole = np.s_[: height // by * by, : width // by * by]
    size = width // by, height // by
    # the mean of the product's pixels is above 0 in a cell where at least one is
    product = cv2.resize(cv2.compare(alpha[whole], 0, cv2.CMP_GT), size, interpolation=cv2.INTER_AREA)
    near = cv2.dilate(product, np.ones((2 * EDGE_PX + 1, 2 * EDGE_PX + 1), np.uint8))
    small = cv2.resize(picture[whole], size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.asarray(cv2.compare(near, 0, cv2.CMP_EQ), np.uint8)


def _sharpness(picture: U8, alpha: U8) -> float | None:
    grey, seen = _reduced(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), alpha, max(1, max(alpha.shape) // SHARP_PX))
    if cv2.countNonZero(seen) == 0:
        return None
    return float(cv2.mean(cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S)), mask=seen)[0])


def _shadow_deg(lightness: F32, seen: U8, place: tuple[float, float, float, float]) -> float | None:
    """Where the shadow at the product's base falls, degrees clockwise from up; None = it has no direction.

    A pixel counts by how much darker it is than the median of its row's background.
    """
    height, width = lightness.shape
    x0, x1 = place[0] * width, place[2] * width
    y0, y1 = place[1] * height, place[3] * height
    size = math.sqrt((x1 - x0) * (y1 - y0))
    reach = SHADOW_REACH * size
    window = _window((x0 - reach, max(y0, y1 - reach), x1 + reach, y1 + reach), width, height)
    background = np.where(seen > 0, lightness, np.nan)[window[1] : window[3]]
    known = np.asarray((seen[window[1] : window[3]] > 0).any(axis=1))
    if not known.any():
        return None
    usual = np.full(known.size, np.nan)
    usual[known] = np.nanmedian(background[known], axis=1)
    dark = np.nan_to_num(usual[:, None] - background[:, window[0] : window[2]])
    dark = np.where(dark >= SHADOW_DEPTH, dark, 0)
    total = float(dark.sum())
    if total < SHADOW_DEPTH * 0.01 * size * size:
        return None
    rows, columns = np.mgrid[window[1] : window[3], window[0] : window[2]]
    across = float((dark * (columns + 0.5)).sum()) / total - (x0 + x1) / 2
    down = float((dark * (rows + 0.5)).sum()) / total - y1
    if math.hypot(across, down) < SHADOW_LEAN * size:
        return None
    return math.degrees(math.atan2(across, -down)) % 360


def _window(box: tuple[float, float, float, float], width: int, height: int) -> BoxXYXY:
    """The box in whole pixels, within the picture."""
    x0, y0, x1, y1 = box
    return max(0, math.floor(x0)), max(0, math.floor(y0)), min(width, math.ceil(x1)), min(height, math.ceil(y1))
