"""What a product seems to be made of, from the pixels of its cutout: opaque, glossy, metal or glass.

No network says it. Glass is what the cutout's own alpha shows through. Gloss is small, pale highlights. Metal is told
from all others by how lightness and colour lie on the surface, away from its border, with weights that were fitted to
rendered products of known material. It is a hint for a person: docs/measurements.md says how often it is right.

    python -m training.mini.materials      # fits METAL, and says how often it is right
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.imaging.resample import reduced
from packshot.types import F32, Cutout, Material, MaterialKind

__all__ = ["Cues", "gloss_of", "material_cues", "material_of"]

WORK_PX = 256
"""The longer side at which the cues are measured."""
RIM = 0.03
"""The border that is left out, as a share of the longer side: the soft edge, hair and fur are not see-through."""
MIN_PIXELS = 64
"""A smaller product has no cues."""
WAVE_PX = (1.5, 6.0)
"""Scales of the bands that a mirror shows, in pixels at WORK_PX: finer is texture, coarser is shading."""
GLASS_SHARE, GLASS_SPREAD = 0.15, 0.03
"""The see-through share at which glass is as likely as not, and how far around it this is unsure."""

METAL: F32 = np.array([-0.35, 5.24, 1.25, 3.59, -0.45, -1.57, -0.92, -3.04, -2.62], np.float32)
"""The weight of each cue of `Cues.of_surface` for metal."""


class Cues(NamedTuple):
    """What was measured of a surface. Lightness and saturation are 0..1.

    `see_through` is the share of the surface with an alpha between 0 and 255. `highlights` is the share of pale, bright
    spots; `spots` that of all places that are brighter than their surroundings. `top` is the lightness of the brightest
    percent over the median. `skew` is how much farther the bright end lies from the median than the dark end. `slope`
    is the mean change of lightness over a tenth of the longer side, and `bands` its mean height at the scales WAVE_PX.
    `smooth` is 1 where no fine texture adds to the spread. `tinted` is how much more saturated the brightest twentieth
    is than the rest: a metal's highlights have its colour. `colours` is the spread of the colour's direction.
    """

    see_through: float = 0.0
    highlights: float = 0.0
    spots: float = 0.0
    top: float = 0.0
    skew: float = 0.0
    slope: float = 0.0
    bands: float = 0.0
    smooth: float = 1.0
    tinted: float = 0.0
    colours: float = 0.0

    @property
    def of_surface(self) -> F32:
        """The cues of the regression, float32 of the length of METAL; the last one is 1."""
        cues = (self.spots, self.top, self.skew, self.slope, self.bands, self.smooth, self.tinted, self.colours, 1.0)
        return np.array(cues, np.float32)


def material_cues(cutout: Cutout) -> Cues:
    """Measure the cues of a cutout. A product of fewer than MIN_PIXELS pixels at WORK_PX has those of a plain one."""
    small = reduced(cutout.pixels, WORK_PX)
    rgb, alpha = np.ascontiguousarray(small[..., :3]), np.ascontiguousarray(small[..., 3])
    inner = _inner(alpha)
    if int(inner.sum()) < MIN_PIXELS:
        return Cues()
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    lightness = np.asarray(cv2.extractChannel(lab, 0) / 255, np.float32)
    directions = (lab[inner][:, 1:] - 128) / np.maximum(lab[inner][:, :1], 25)
    strongest = rgb.max(2).astype(np.float32)
    saturation = (strongest - rgb.min(2)) / np.maximum(strongest, 24)
    longer = max(alpha.shape)
    over = lightness - _blurred(lightness, inner, 0.05 * longer)
    soft, softer = (_blurred(lightness, inner, sigma) for sigma in WAVE_PX)
    low, median, high, highest = np.percentile(lightness[inner], (5, 50, 95, 99))
    fine = np.abs(lightness - _blurred(lightness, inner, 2.0))[inner].mean()
    bright = lightness[inner] >= high
    tinted = saturation[inner][bright].mean() - saturation[inner][~bright].mean() if not bright.all() else 0.0
    down, right = np.gradient(soft) if min(soft.shape) > 1 else (np.zeros_like(soft),) * 2
    return Cues(
        see_through=float(((alpha > 5) & (alpha < 250))[inner].mean()),
        highlights=float(((lightness > 0.82) & (over > 0.12) & (saturation < 0.35))[inner].mean()),
        spots=float((over > 0.1)[inner].mean()),
        top=float(highest - median),
        skew=float((high - median) - (median - low)),
        slope=float(np.hypot(down, right)[inner].mean()) * longer / 10,
        bands=float(np.abs(soft - softer)[inner].mean()),
        smooth=float(np.clip(1 - 12 * fine / max(high - low, 0.05), 0, 1)),
        tinted=float(tinted),
        colours=float(np.hypot(*directions.std(axis=0))),
    )


def gloss_of(cues: Cues) -> float:
    """How much of the surface mirrors a light, 0..1."""
    return float(np.clip(cues.highlights / 0.03, 0, 1))


def material_of(cues: Cues) -> Material:
    """The likeliest material of a surface, and its probability."""
    glass = _sigmoid((cues.see_through - GLASS_SHARE) / GLASS_SPREAD)
    metal = (1 - glass) * _sigmoid(float(cues.of_surface @ METAL))
    dull = 1 - glass - metal
    likely: dict[MaterialKind, float] = {
        "opaque": dull * (1 - gloss_of(cues)),
        "glossy": dull * gloss_of(cues),
        "metal": metal,
        "glass": glass,
    }
    kind = max(likely, key=lambda one: likely[one])
    return Material(kind, likely[kind])


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def _inner(alpha: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The surface without its border."""
    rim = max(1, round(RIM * max(alpha.shape)))
    covered = cv2.copyMakeBorder((alpha > 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(covered, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
    return np.asarray(eroded[1:-1, 1:-1] > 0, np.bool_)


def _blurred(lightness: F32, inside: NDArray[np.bool_], sigma_px: float) -> F32:
    """The mean around each pixel of the surface; pixels outside it have no weight."""
    weight = inside.astype(np.float32)
    total = cv2.GaussianBlur(lightness * weight, (0, 0), sigma_px)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma_px), 1e-3), np.float32)
