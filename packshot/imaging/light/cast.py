"""The cast shadow: the product's volume, projected along the light onto the ground.

    silhouette ──inflate──> front and back surface ──project──> ground points ──blur by distance──> shadow

Each point at height h above the ground falls `h * length` along the direction. The camera sees the ground obliquely, so
movements towards and away from the viewer are foreshortened.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from packshot.imaging.light.inflation import inflated
from packshot.imaging.light.stand import Part, parts_of, stand_of
from packshot.types import F32, U8, Flat

__all__ = ["cast_shadow", "floating_shadow"]

WORK_PX = 224
"""The longer side of a part's silhouette when it is projected; shadows are smooth."""
SLICES = np.linspace(-1.0, 1.0, 7, dtype=np.float32)
"""Where the volume between the back (-1) and the front surface (1) is sampled."""
BLURS = 4
"""Levels of blur; a pixel's blur is interpolated between them."""
FADE = 0.45
"""How much lighter the shadow is at its far end."""
FLOATING_GAP = 0.10
"""The distance between a floating product and its shadow, as a share of the product's size."""


def cast_shadow(flat: Flat, direction_deg: float, length: float = 0.8, softness: float = 0.4) -> U8:
    """The shadow that a light casts behind each part of the product: uint8 HxW, 0 = none, 255 = full.

    `direction_deg` is where it falls (0 = up, clockwise). `length` is its length for each height of the product, and
    `softness` 0..1 how much it blurs with the distance.
    """
    shadow: F32 = np.zeros(flat.alpha.shape, np.float32)
    for part in parts_of(cv2.extractChannel(flat.pixels, 3)):
        _add_part(shadow, part, direction_deg, length, softness)
    return np.asarray(np.rint(shadow * 255), np.uint8)


def floating_shadow(flat: Flat, softness: float = 0.6) -> U8:
    """The shadow of a product that hovers: a soft ellipse on the ground below each part, uint8 HxW."""
    shadow: F32 = np.zeros(flat.alpha.shape, np.float32)
    for part in parts_of(cv2.extractChannel(flat.pixels, 3)):
        height, width = part.shape.shape
        size = math.sqrt(width * height)
        half = 0.42 * width
        middle = part.top + height + FLOATING_GAP * size
        flatness = max(2.0, 0.22 * half)
        soft = 0.15 + 0.75 * softness  # the width of the edge, as a share of the ellipse
        centre, across, down = part.left + width / 2, half * (1 + soft) + 1, flatness * (1 + soft) + 1
        y0, y1 = max(0, int(middle - down)), min(shadow.shape[0], int(middle + down) + 1)
        x0, x1 = max(0, int(centre - across)), min(shadow.shape[1], int(centre + across) + 1)
        if y0 >= y1 or x0 >= x1:
            continue
        rows = (np.arange(y0, y1, dtype=np.float32).reshape(-1, 1) - middle) / flatness
        columns = (np.arange(x0, x1, dtype=np.float32).reshape(1, -1) - centre) / half
        ellipse = np.clip((1 + soft - np.sqrt(rows**2 + columns**2)) / (2 * soft), 0, 1)
        ellipse = ellipse * ellipse * (3 - 2 * ellipse)
        _merge(shadow[y0:y1, x0:x1], 0.8 * ellipse.astype(np.float32))
    return np.asarray(np.rint(shadow * 255), np.uint8)


def _add_part(shadow: F32, part: Part, direction_deg: float, length: float, softness: float) -> None:
    """Add one part's shadow in place."""
    high, wide = part.shape.shape
    scale = min(1.0, WORK_PX / max(high, wide))  # work pixels a canvas pixel
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    small = np.where(cv2.resize(part.shape, size, interpolation=cv2.INTER_AREA) >= 128, np.uint8(255), np.uint8(0))
    if not small.any():
        return
    x, y, fall = _projected(small, direction_deg, length)
    reach = _sigma(float(fall.max(initial=0.0)), softness, max(size)) * 3 + 2
    left, top = math.floor(float(x.min()) - reach), math.floor(float(y.min()) - reach)
    field = (math.ceil(float(y.max()) + reach) - top + 2, math.ceil(float(x.max()) + reach) - left + 2)
    dark = _blurred(*_splatted(x - left, y - top, fall, field), softness, max(size))
    _add_field(shadow, dark, part, (left, top), (wide / size[0], high / size[1]))


def _projected(shape: U8, direction_deg: float, length: float) -> tuple[F32, F32, F32]:
    """Where the volume of a silhouette falls on the ground: (x, y, distance from its foot), pixels of the silhouette.

    The volume is the inflated silhouette, before and behind the plane through its middle.
    """
    stand = stand_of(shape)
    turn = math.radians(direction_deg)
    rows, columns = np.nonzero(shape)
    relief = inflated(shape)[rows, columns]
    deepest = min(stand.half_px, float(relief.max(initial=0.5)))  # the base's front, before that plane
    found = []
    for share in SLICES:
        depth = relief * share
        foot_y = stand.front_y - (deepest - depth) * stand.foreshortening
        fall = (foot_y - rows) * length
        above = fall > -1.5
        fall = np.maximum(fall[above], 0)
        along_y = foot_y[above] - fall * math.cos(turn) * stand.foreshortening
        found.append((columns[above] + fall * math.sin(turn), along_y, fall))
    x, y, fall = (np.concatenate(parts).astype(np.float32) for parts in zip(*found, strict=True))
    return x, y, fall


def _splatted(x: F32, y: F32, fall: F32, size: tuple[int, int]) -> tuple[F32, F32]:
    """Draw points into a field of `size` (height, width): (cover 0..1, mean distance of each pixel)."""
    at = np.rint(y).astype(np.int64) * size[1] + np.rint(x).astype(np.int64)
    count = np.bincount(at, minlength=size[0] * size[1]).reshape(size).astype(np.float32)
    total = np.bincount(at, weights=fall, minlength=size[0] * size[1]).reshape(size).astype(np.float32)
    cover = cv2.morphologyEx((count > 0).astype(np.float32), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    kernel = (0, 0), 3.0
    spread = cv2.GaussianBlur(count, *kernel)
    mean = cv2.GaussianBlur(total, *kernel) / np.maximum(spread, 1e-4)
    return np.asarray(cover, np.float32), np.asarray(mean, np.float32)


def _sigma(fall_px: float, softness: float, size_px: int) -> float:
    """The blur of a shadow that falls so far from its foot, in pixels."""
    return 0.6 + softness * (0.008 * size_px + 0.16 * fall_px)


def _blurred(cover: F32, fall: F32, softness: float, size_px: int) -> F32:
    """The shadow's darkness: the cover, blurred and lightened by its distance from the foot."""
    farthest = max(float(fall.max()), 1.0)
    sigmas = [_sigma(farthest * (level / (BLURS - 1)) ** 2, softness, size_px) for level in range(BLURS)]
    levels = np.stack([cv2.GaussianBlur(cover, (0, 0), sigma) for sigma in sigmas])
    # a pixel beyond the sharp shadow takes the distance of the nearest that is in it
    near = np.where(cover > 0, fall, 0)
    reach = max(3, int(2 * sigmas[-1]) | 1)
    near = cv2.GaussianBlur(cv2.dilate(near, np.ones((reach, reach), np.uint8)), (0, 0), reach / 3)
    place = np.clip(np.sqrt(np.clip(near / farthest, 0, 1)) * (BLURS - 1), 0, BLURS - 1.001)
    below = place.astype(np.int64)
    share = place - below
    low = np.take_along_axis(levels, below[None], 0)[0]
    high = np.take_along_axis(levels, below[None] + 1, 0)[0]
    dark = low * (1 - share) + high * share
    return np.asarray(dark * (1 - FADE * np.clip(near / farthest, 0, 1)), np.float32)


def _add_field(shadow: F32, dark: F32, part: Part, corner: tuple[int, int], step: tuple[float, float]) -> None:
    """Draw a field into the canvas in place. `corner` is its (left, top) in work pixels, `step` canvas px each."""
    left, top = part.left + corner[0] * step[0], part.top + corner[1] * step[1]
    x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
    x1 = min(shadow.shape[1], math.ceil(left + dark.shape[1] * step[0]))
    y1 = min(shadow.shape[0], math.ceil(top + dark.shape[0] * step[1]))
    if x0 >= x1 or y0 >= y1:
        return
    # canvas pixel -> field pixel, centres on centres
    move = np.array(
        [[1 / step[0], 0, (x0 + 0.5 - left) / step[0] - 0.5], [0, 1 / step[1], (y0 + 0.5 - top) / step[1] - 0.5]],
        np.float32,
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(dark, move, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    _merge(shadow[y0:y1, x0:x1], np.asarray(seen, np.float32))


def _merge(below: F32, dark: F32) -> None:
    """Let two parts' shadows overlap in place: light that one keeps away, the other cannot keep away again."""
    np.maximum(below, dark, out=below)
