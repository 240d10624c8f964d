"""A photo's plain backdrop: a sheet of paper or a wall whose colour changes slowly, and what stands before it.

The backdrop's colour is a quadratic surface over the photo, fitted to the pixels that agree with it, beginning at the
photo's frame. Before such a backdrop the photo itself shows what is product: no network sees a thin strap as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import U8

Bools = NDArray[np.bool_]

FIT_PX = 64
"""Longest side of the picture to which the backdrop is fitted."""
ROUNDS_LEVELS = (64.0, 32.0, 16.0, 16.0)
"""The surface is fitted to the frame, then to all pixels that differ from it by at most so many levels, in rounds."""
EVEN_LEVELS = 6.0
"""Pixels whose channels all differ from the backdrop by at most this many levels belong to the backdrop."""
NOISES = 3.5
"""In a noisy photo they may differ by this many standard deviations of the backdrop's noise."""
MOST_LEVELS = 16.0
"""But by no more than this: a backdrop with more noise is not plain."""
PLAIN_FRAME = 0.6
"""The share of the photo's outermost pixels that a backdrop must cover. A product may touch the frame."""
MOST_CROSSINGS = 20
"""The frame crosses a product and its neighbours a few times, but the joints of a wall or the grain of wood dozens of
times (34 to 55; 16 at most beside products). Such a wall is not plain, however even its bricks are."""
CROSSING_PX = 3
"""Shorter crossings are noise."""
SHADE = (0.35, 1.0)
"""A shadow has the backdrop's colour times a factor between these."""


@dataclass(frozen=True)
class Backdrop:
    """A plain backdrop. Arrays have the photo's height and width.

    `even` is True at pixels that show the backdrop. `shadow` is True at darker pixels that may be the backdrop in a
    shadow. `plain` is the share 0..1 of the photo's outermost pixels that the backdrop covers. `colour` is the
    backdrop's colour, uint8 hxwx3 RGB.
    """

    even: Bools
    shadow: Bools
    plain: float
    colour: U8


def plain_backdrop(photo: U8) -> Backdrop | None:
    """Find the plain backdrop of a photo (uint8 hxwx3 RGB); None when it has none."""
    height, width = photo.shape[:2]
    scale = min(1.0, FIT_PX / max(height, width))
    size = (max(3, round(width * scale)), max(3, round(height * scale)))
    fitted = _surface(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
    if fitted is None:
        return None
    surface, noise = fitted
    colour = np.asarray(cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    tolerance = min(MOST_LEVELS, max(EVEN_LEVELS, NOISES * noise))
    even = cv2.inRange(cv2.absdiff(photo, colour), (0.0,) * 3, (tolerance,) * 3)
    rim = np.concatenate([even[0], even[:, -1], even[-1, ::-1], even[::-1, 0]])
    plain = float(np.count_nonzero(rim)) / rim.size
    if plain < PLAIN_FRAME or _runs(rim == 0) > MOST_CROSSINGS:
        return None
    return Backdrop(even > 0, _shadow(photo, colour, tolerance) & (even == 0), plain, colour)


def _runs(rim: Bools) -> int:
    """How many runs of at least CROSSING_PX pixels are True on the frame, bool (N,). Single other pixels are noise."""
    row = rim.astype(np.uint8)[None]
    for step in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        row = np.asarray(cv2.morphologyEx(row, step, np.ones((1, CROSSING_PX), np.uint8)), np.uint8)
    return int(np.count_nonzero(np.diff(row[0], prepend=0) == 1))


def _surface(small: U8) -> tuple[U8, float] | None:
    """The colour of the backdrop, uint8 hxwx3, and its noise in levels; None when no surface fits the frame."""
    height, width = small.shape[:2]
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(xs), xs, ys, xs * xs, xs * ys, ys * ys], axis=-1).reshape(-1, 6)
    pixels = small.reshape(-1, 3).astype(np.float64)
    on_rim = np.zeros((height, width), bool)
    on_rim[[0, -1]] = True
    on_rim[:, [0, -1]] = True
    rim = on_rim.ravel()
    near = rim
    for most_levels in ROUNDS_LEVELS:
        known = terms[near]
        surface = terms @ np.linalg.lstsq(known.T @ known, known.T @ pixels[near], rcond=None)[0]
        off = np.abs(pixels - surface).max(1)
        near = off <= most_levels
        if np.count_nonzero(near & rim) < PLAIN_FRAME * np.count_nonzero(rim):
            return None
    noise = 1.4826 * float(np.median(off[near & rim]))
    return np.clip(surface + 0.5, 0, 255).astype(np.uint8).reshape(small.shape), noise


def _shadow(photo: U8, colour: U8, tolerance: float) -> Bools:
    """True where a pixel has the backdrop's colour times a factor of SHADE."""
    pixels = [plane.astype(np.float32) for plane in cv2.split(photo)]
    lit = [plane.astype(np.float32) for plane in cv2.split(colour)]
    product = sum(p * c for p, c in zip(pixels, lit, strict=True))
    factor = product / np.maximum(sum(c * c for c in lit), np.float32(1))
    shadow = (factor >= SHADE[0]) & (factor < SHADE[1])
    for p, c in zip(pixels, lit, strict=True):
        shadow &= np.abs(p - factor * c) <= tolerance
    return np.asarray(shadow, bool)
