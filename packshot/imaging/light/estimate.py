"""The light of a painted scene, read from the ground around the product.

The ground is darkest where the product's shadow lies. So its luminance around the base is fitted with one wave over the
angle: L = a + b sin θ + c cos θ. On path-traced scenes this finds the direction better than a plane fitted to the
whole picture (docs/measurements.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.imaging.light.stand import parts_of, stand_of
from packshot.types import U8

__all__ = ["CERTAIN", "SceneLight", "scene_light", "side_light"]

WORK_PX = 160
"""The longer side of the picture that is read."""
RING = (1.05, 1.8)
"""The ring around the base that is read, in radii of the base."""
FAR_RING = (1.8, 2.6)
"""A ring beyond the reach of a contact shadow."""
IN_FRONT_DEG = 30
FAR_CERTAIN = 0.2
"""The far ring's confidence from which a shadow reaches it."""
MIN_PIXELS = 40
STRONG = 0.10
"""The wave's height, as a share of the mean, from which a shadow is certain."""
CERTAIN = 0.3
"""The confidence from which an estimate counts."""

FROM_THE_LEFT_DEG, FROM_THE_RIGHT_DEG = 115.0, 245.0
"""Where shadows fall under a light from one side, a little behind."""


@dataclass(frozen=True)
class SceneLight:
    """How a scene is lit.

    `direction_deg` is where shadows fall (0 = up, clockwise). `confidence` is 0..1.
    """

    direction_deg: float
    confidence: float

    @property
    def certain(self) -> bool:
        """Whether the estimate counts."""
        return self.confidence >= CERTAIN


def scene_light(scene: U8, alpha: U8) -> SceneLight:
    """Estimate how a painted scene is lit: `scene` is uint8 HxWx3 RGB, `alpha` the product's, uint8 HxW.

    It reads the ground around the largest product. The confidence is 0 when there is no product, or no ground around
    it. A contact shadow shows in front of the product alone, so it looks like one that falls towards the viewer. Such a
    direction counts only if the shadow reaches farther than a contact shadow does.
    """
    scale = min(1.0, WORK_PX / max(alpha.shape))
    size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
    small = cv2.resize(scene, size, interpolation=cv2.INTER_AREA)
    cover = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    parts = parts_of(np.asarray(cover, np.uint8))
    if not parts:
        return SceneLight(0.0, 0.0)
    stand = stand_of(parts[0].shape)
    centre_x = parts[0].left + (stand.first_x + stand.last_x) / 2
    centre_y = parts[0].top + stand.front_y - stand.half_px * stand.foreshortening
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    right = (columns - centre_x) / stand.half_px
    down = (rows - centre_y) / (stand.half_px * stand.foreshortening)
    radius = np.hypot(right, down)
    lightness = cv2.cvtColor(np.asarray(small, np.uint8), cv2.COLOR_RGB2LAB)[..., 0].astype(np.float64) / 255
    around = [
        (lightness[ring], np.arctan2(right[ring], -down[ring]).astype(np.float64))
        for ring in ((cover < 64) & (radius > inner) & (radius < outer) for inner, outer in (RING, FAR_RING))
    ]
    direction, confidence = _wave(*around[0])
    if abs(direction - 180) < IN_FRONT_DEG:
        far, far_confidence = _wave(*around[1])
        if far_confidence < FAR_CERTAIN or abs(far - 180) >= 2 * IN_FRONT_DEG:
            confidence = 0.0
    return SceneLight(direction, confidence)


def _wave(lightness: NDArray[np.float64], angle: NDArray[np.float64]) -> tuple[float, float]:
    """Fit one wave over the angle (radians) to a ring's lightness 0..1: (darkest direction, confidence 0..1)."""
    if lightness.size < MIN_PIXELS:
        return 0.0, 0.0
    waves = np.stack([np.ones_like(angle), np.sin(angle), np.cos(angle)], axis=1)
    (mean, sine, cosine), *_ = np.linalg.lstsq(waves, lightness, rcond=None)
    height = math.hypot(sine, cosine) / max(float(mean), 1e-3)
    left_over = float((lightness - waves @ np.array([mean, sine, cosine])).var()) / max(float(lightness.var()), 1e-9)
    confidence = math.sqrt(max(0.0, 1 - left_over)) * min(1.0, height / STRONG)
    return math.degrees(math.atan2(-sine, -cosine)) % 360, confidence


def side_light(picture: U8) -> SceneLight:
    """Estimate from which side a picture without a known product is lit: uint8 HxWx3 RGB.

    The lit side is brighter. Each row is compared with itself alone, so that a bright wall above a dark table says
    nothing. The shadow then falls away from the light and a little towards the viewer, as a window's does; whether the
    light comes from behind or from the front cannot be read in this way.
    """
    scale = min(1.0, WORK_PX / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    lightness = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float64) / 255
    right = np.linspace(-1.0, 1.0, size[0])
    if lightness.size < MIN_PIXELS or size[0] < 2:
        return SceneLight(0.0, 0.0)
    own = lightness - lightness.mean(axis=1, keepdims=True)
    slopes = own @ right / (right @ right)  # of each row: the lightness from the middle to the right edge
    slope = float(np.median(slopes))
    agreeing = float((np.sign(slopes) == np.sign(slope)).mean())
    height = abs(slope) / max(float(lightness.mean()), 1e-3)
    confidence = max(0.0, 2 * agreeing - 1) * min(1.0, height / STRONG)
    return SceneLight(FROM_THE_RIGHT_DEG if slope > 0 else FROM_THE_LEFT_DEG, confidence)
