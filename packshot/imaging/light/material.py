"""What a product seems to be made of, from the pixels of its cutout: opaque, glossy, metal or glass.

No network says it. Each cue is a share of the product's surface, measured away from its border:

    see-through   alpha between 0 and 255
    highlights    small spots, much brighter and paler than what is around them
    mirror        pale surface on which dark and bright follow each other softly
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


class Cues(NamedTuple):
    """What was measured of a surface. All are 0..1.

    `see_through` and `highlights` are shares of the surface. `pale` is 1 - its mean saturation. `contrast` is the
    spread of its lightness, from the 5th to the 95th percentile. `soft` is the share of this contrast that changes
    slowly.
    """

    see_through: float = 0.0
    highlights: float = 0.0
    pale: float = 0.0
    contrast: float = 0.0
    soft: float = 0.0


def material_cues(cutout: Cutout) -> Cues:
    """Measure the cues of a cutout; all are 0 for a product of fewer than MIN_PIXELS pixels at WORK_PX."""
    small = reduced(cutout.pixels, WORK_PX)
    rgb, alpha = np.ascontiguousarray(small[..., :3]), np.ascontiguousarray(small[..., 3])
    rim = max(1, round(RIM * max(alpha.shape)))
    covered = cv2.copyMakeBorder((alpha > 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(covered, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))[1:-1, 1:-1] > 0
    if int(inner.sum()) < MIN_PIXELS:
        return Cues()
    lightness = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float32) / 255
    strongest = rgb.max(2).astype(np.float32)
    saturation = (strongest - rgb.min(2)) / np.maximum(strongest, 24)
    around = _blurred(lightness, inner, 0.05 * max(alpha.shape))
    spots = (lightness > 0.82) & (lightness - around > 0.12) & (saturation < 0.35)
    low, high = np.percentile(lightness[inner], (5, 95))
    fine = np.abs(lightness - _blurred(lightness, inner, 2.0))[inner].mean()
    spread = float(high - low)
    return Cues(
        see_through=float(((alpha > 5) & (alpha < 250))[inner].mean()),
        highlights=float(spots[inner].mean()),
        pale=float(1 - saturation[inner].mean()),
        contrast=spread,
        soft=float(np.clip(1 - 12 * fine / max(spread, 0.05), 0, 1)),
    )


def gloss_of(cues: Cues) -> float:
    """How much of the surface mirrors a light, 0..1."""
    return float(np.clip(cues.highlights / 0.03, 0, 1))


def material_of(cues: Cues) -> Material:
    """The likeliest material of a surface, and the confidence in it."""
    scores: dict[MaterialKind, float] = {
        "opaque": 1.0,
        "glossy": 70 * cues.highlights - 0.3,
        "metal": 5.0 * (cues.pale - 0.85) + 4.0 * (cues.contrast - 0.45) + 1.5 * (cues.soft - 0.5),
        "glass": 12 * cues.see_through - 0.5,
    }
    weights = {kind: math.exp(2.0 * score) for kind, score in scores.items()}
    kind = max(scores, key=lambda one: scores[one])
    return Material(kind, weights[kind] / sum(weights.values()))


def _blurred(lightness: F32, inside: NDArray[np.bool_], sigma_px: float) -> F32:
    """The mean around each pixel of the surface; pixels outside it have no weight."""
    weight = inside.astype(np.float32)
    total = cv2.GaussianBlur(lightness * weight, (0, 0), sigma_px)
    return np.asarray(total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma_px), 1e-3), np.float32)
