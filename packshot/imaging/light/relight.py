"""Relighting: the product takes the direction and the colour of its scene's light, as a smooth gain.

relief (normals n) ─┐
light (l, cast) ────┴─> 1 + amount · (n·l − mean) + amount · cast ──headroom──> Gain
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from packshot.imaging.light.gain import Gain, lit_box
from packshot.imaging.light.relief import Relief
from packshot.types import F32, U8, Flat

__all__ = ["Change", "KeyLight", "changed", "gain_of", "key_light", "light_colour"]

USUAL_ELEVATION_DEG = 45.0
ELEVATION_DEG = (20.0, 70.0)
"""Bounds of the light's height above the ground."""
SMOOTH = 0.06
"""The blur of the shading, as a share of the product's longer side: light is smooth, an estimated normal is not."""
WHITE = 250.0
"""A gain brightens no part of the product beyond this mean value, so that bright parts keep their detail."""
MAX_CAST = 0.07
"""The most that the light's colour changes a channel, at an amount of 1."""
CAST_SHARE = 0.4
"""How much of the scene's colour reaches the product; the rest is the scene's own paint."""
SEEN_PX = 256
"""Colours are compared in a sample of at most this longer side."""
COLOURED = 20.0
"""The chroma from which a pixel has a hue that people see."""


@dataclass(frozen=True)
class KeyLight:
    """The light that falls on a product.

    `towards` is the unit vector to the light in the camera's frame (x right, y up, z to the camera); None = the light
    has no direction. `cast` is the light's colour: what it adds to the factors of red, green and blue.
    """

    towards: tuple[float, float, float] | None = None
    cast: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Change:
    """How a gain changed the product's colours: CIE 1976 ΔE, and the median turn of coloured pixels' hue, degrees.

    `clipped` is the share of the product's pixels that became brighter than white.
    """

    mean: float
    p95: float
    hue_deg: float
    clipped: float


def key_light(
    direction_deg: float | None, length: float | None = None, cast: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> KeyLight:
    """The light whose shadows fall to `direction_deg` (0 = up, clockwise) and are `length` times the product's height.

    A light without a length is taken to be 45 degrees above the ground.
    """
    if direction_deg is None:
        return KeyLight(None, cast)
    elevation = math.degrees(math.atan2(1.0, length)) if length is not None else USUAL_ELEVATION_DEG
    height = math.radians(min(max(elevation, ELEVATION_DEG[0]), ELEVATION_DEG[1]))
    turn, flat = math.radians(direction_deg), math.cos(height)
    # a shadow that falls away from the viewer comes from a light behind the viewer
    return KeyLight((-math.sin(turn) * flat, math.sin(height), math.cos(turn) * flat), cast)


def light_colour(scene: U8, alpha: U8) -> tuple[float, float, float]:
    """The colour of a scene's light, as what it adds to the factors of red, green and blue; luminance stays.

    `scene` is uint8 HxWx3 RGB, `alpha` the product's, uint8 HxW. It is the scene's mean colour by a norm in which
    bright parts weigh more (Finlayson and Trezzi 2004), because those show the light rather than the paint.
    """
    step = max(1, max(alpha.shape) // SEEN_PX)
    around = scene[::step, ::step][alpha[::step, ::step] == 0].astype(np.float64) / 255
    if around.size == 0:
        return (0.0, 0.0, 0.0)
    colour = (around**6).mean(axis=0) ** (1 / 6)
    luminance = float(colour @ (0.299, 0.587, 0.114))
    cast = np.clip(CAST_SHARE * (colour / max(luminance, 1e-3) - 1), -MAX_CAST, MAX_CAST)
    cast -= cast @ (0.299, 0.587, 0.114)
    return (float(cast[0]), float(cast[1]), float(cast[2]))


def gain_of(flat: Flat, relief: Relief, light: KeyLight, amount: float) -> Gain:
    """The gain of a layout under a light. `amount` is 0..1; with 0 every factor is 1."""
    normals, product = relief.normals, relief.product
    shading = np.zeros(product.shape, np.float32)
    if light.towards is not None and product.any():
        shading = normals @ np.array(light.towards, np.float32)
        shading = _spread(shading - shading[product].mean(), relief)
    factors = 1 + amount * (shading[..., None] + np.array(light.cast, np.float32))
    return Gain.of(np.asarray(_with_headroom(factors, flat), np.float32))


def _spread(shading: F32, relief: Relief) -> F32:
    """The shading, smooth within the product and continued beyond its edge."""
    weight = relief.product.astype(np.float32)
    sigma = max(0.8, SMOOTH * max(weight.shape))
    total = cv2.GaussianBlur(shading * weight, (0, 0), sigma)
    cover = cv2.GaussianBlur(weight, (0, 0), sigma)
    smooth = np.asarray(total / np.maximum(cover, 1e-6), np.float32)
    if relief.product.all():
        return smooth
    _, nearest = cv2.distanceTransformWithLabels(
        np.where(relief.product, np.uint8(0), np.uint8(1)), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    value_of = np.zeros(int(nearest.max()) + 1, np.float32)
    value_of[nearest[relief.product]] = smooth[relief.product]
    return np.asarray(value_of[nearest], np.float32)


def _with_headroom(factors: F32, flat: Flat) -> F32:
    """The factors, lowered smoothly where the product is so bright that it would lose its detail."""
    box = lit_box(flat)
    if box is None:
        return factors
    x0, y0, x1, y1 = box
    high, wide = factors.shape[:2]
    here = np.ascontiguousarray(flat.pixels[y0:y1, x0:x1])
    cover = cv2.threshold(cv2.extractChannel(here, 3), 127, 255, cv2.THRESH_BINARY)[1]
    brightest = cv2.bitwise_and(cv2.max(cv2.max(here[..., 0], here[..., 1]), here[..., 2]), cover)
    light, share = (
        cv2.resize(one, (wide, high), interpolation=cv2.INTER_AREA).astype(np.float32) for one in (brightest, cover)
    )
    room = WHITE / np.maximum(255 * light / np.maximum(share, 1), 1)  # the mean of what each cell shows of the product
    reach = max(1, round(SMOOTH * max(high, wide)))
    room = cv2.erode(np.minimum(room, 2), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    room = np.maximum(cv2.GaussianBlur(room, (0, 0), reach / 3), 1)
    most = factors.max(axis=2)
    return np.asarray(factors * np.minimum(1, room / np.maximum(most, 1e-3))[..., None], np.float32)


def changed(flat: Flat, lit: Flat) -> Change:
    """How a layout's opaque pixels differ from those of the layout under its gain."""
    step = max(1, max(flat.alpha.shape) // SEEN_PX)
    solid = flat.alpha[::step, ::step] == 255
    before, after = (one.pixels[::step, ::step, :3][solid] for one in (flat, lit))
    if before.size == 0:
        return Change(0.0, 0.0, 0.0, 0.0)
    old, new = (
        cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0].astype(np.float64)
        for rgb in (before, after)
    )
    delta = np.linalg.norm(new - old, axis=1)
    hues, chromas = zip(
        *((np.arctan2(lab[:, 2], lab[:, 1]), np.hypot(lab[:, 1], lab[:, 2])) for lab in (old, new)), strict=True
    )
    coloured = (chromas[0] >= COLOURED) & (chromas[1] >= COLOURED)
    turn = np.abs((hues[1] - hues[0] + np.pi) % (2 * np.pi) - np.pi)[coloured]
    white = ((after == 255) & (before < 255)).any(axis=1)
    return Change(
        mean=float(delta.mean()),
        p95=float(np.percentile(delta, 95)),
        hue_deg=float(np.degrees(np.median(turn))) if turn.size else 0.0,
        clipped=float(white.mean()),
    )
