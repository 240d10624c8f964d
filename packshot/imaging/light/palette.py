"""The main colours of pictures, by k-means in CIE L*a*b*.

The means begin with colours that are far apart, so the same pixels always give the same colours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.contract.style import MAX_PALETTE
from packshot.errors import BadInput
from packshot.types import U8

__all__ = ["F64", "PaletteColour", "colours_of", "lab_of", "main_colours", "palette_of", "sample_of"]

F64 = NDArray[np.float64]

FOUND_COLOURS = 6
"""Most colours that are found in pictures."""
SAMPLE_PX = 64
"""A picture's main colours are found in a sample of at most this longer side."""
SAME = 4.0
"""The distance in CIE L*a*b* within which two colours are one main colour."""
ALIKE = 9.0
"""The distance within which two colours of a found palette are one: a swatch beside it would look the same."""
SHADE = 0.5
"""How much the lightness counts in that distance: the lit and the shaded side of a wall are one colour."""
RARE = 0.02
"""The share below which a found colour is left out: a highlight, not the pictures' colour."""
ROUNDS = 8


@dataclass(frozen=True)
class PaletteColour:
    """A colour `#rrggbb` of a palette, and its share of the pictures, 0..1."""

    name: str
    share: float


def palette_of(pictures: Sequence[tuple[U8, float]], most: int = FOUND_COLOURS) -> tuple[PaletteColour, ...]:
    """The main colours of pictures, the most frequent first.

    `pictures` are (pixels, weight): uint8 HxWx3 RGB, and a weight above 0. Each picture counts by its weight,
    whatever its size.
    """
    samples = [sample_of(pixels) for pixels, _ in pictures]
    each = [np.full(len(sample), weight / len(sample)) for sample, (_, weight) in zip(samples, pictures, strict=True)]
    centres, shares = main_colours(np.vstack(samples), np.concatenate(each), most + 2)
    centres, shares = _joined(centres, shares)
    order = [at for at in np.argsort(-shares, kind="stable") if shares[at] >= RARE][:most]
    rgb = cv2.cvtColor(centres[None, order].astype(np.float32), cv2.COLOR_LAB2RGB)[0]
    names = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in np.rint(np.clip(rgb, 0, 1) * 255).astype(int)]
    total = float(shares[order].sum())
    return tuple(PaletteColour(name, float(shares[at]) / total) for name, at in zip(names, order, strict=True))


def _joined(centres: F64, shares: F64) -> tuple[F64, F64]:
    """The colours without those that look alike: the two nearest become one, until none are."""
    while len(centres) > 1:
        apart = np.linalg.norm((centres[:, None] - centres[None]) * (SHADE, 1, 1), axis=2) + np.eye(len(centres)) * 1e9
        first, second = np.unravel_index(int(apart.argmin()), apart.shape)
        if apart[first, second] >= ALIKE:
            break
        both = shares[first] + shares[second]
        centres[first] = (centres[first] * shares[first] + centres[second] * shares[second]) / both
        shares[first] = both
        centres, shares = np.delete(centres, second, axis=0), np.delete(shares, second)
    return centres, shares


def colours_of(palette: Sequence[str]) -> U8:
    """The colours of a palette, uint8 Nx3 RGB. Raises BadInput `invalid_request` for one that is none."""
    if not 1 <= len(palette) <= MAX_PALETTE:
        raise BadInput("invalid_request", f"a palette must have 1 to {MAX_PALETTE} colours, got {len(palette)}")
    for colour in palette:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            rule = f"a palette's colour must be #rrggbb, got {colour[:40]!r}"
            raise BadInput("invalid_request", f"{rule}; such as #c0ffee")
    return np.array([list(bytes.fromhex(colour[1:])) for colour in palette], np.uint8)


def lab_of(rgb: np.ndarray[Any, Any]) -> F64:
    """CIE L*a*b* of N colours, uint8 or float32 Nx3 RGB in 0..255; float64 Nx3."""
    if len(rgb) == 0:
        return np.zeros((0, 3), np.float64)
    lab = cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(lab[0], np.float64)


def sample_of(pixels: U8, alpha: U8 | None = None) -> F64:
    """Colours of a picture in a regular grid, float64 Nx3 Lab. Those under `alpha`, uint8 HxW, are left out."""
    step = max(1, max(pixels.shape) // SAMPLE_PX)
    seen = pixels[step // 2 :: step, step // 2 :: step]
    if alpha is None:
        return lab_of(seen.reshape(-1, 3))
    return lab_of(seen[alpha[step // 2 :: step, step // 2 :: step] == 0])


def main_colours(sample: F64, weights: F64 | None = None, most: int = 8) -> tuple[F64, F64]:
    """At most `most` main colours Kx3 of a sample Nx3 by k-means, and their shares K.

    `weights` is the weight of each colour of the sample, N; None weighs all alike.
    """
    each = np.ones(len(sample)) if weights is None else weights
    centres = np.average(sample, axis=0, weights=each)[None]
    apart = ((sample - centres[0]) ** 2).sum(axis=1)
    while len(centres) < most:
        farthest = sample[apart.argmax()]
        if apart.max() < SAME**2:
            break
        centres = np.vstack([centres, farthest])
        apart = np.minimum(apart, ((sample - farthest) ** 2).sum(axis=1))
    for _ in range(ROUNDS):
        nearest = ((centres**2).sum(axis=1) - 2 * sample @ centres.T).argmin(axis=1)  # |sample|² is alike for all
        counts = np.bincount(nearest, each, minlength=len(centres))
        sums = np.stack([np.bincount(nearest, sample[:, at] * each, len(centres)) for at in range(3)], axis=1)
        centres, counts = sums[counts > 0] / counts[counts > 0, None], counts[counts > 0]
    return centres, counts / counts.sum()
