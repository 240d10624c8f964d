"""Harmonising: move a painted scene's colours towards a palette.

    scene ──sample──> main colours ──transport──> palette ──> shift of each colour ──table──> scene

The scene's main colours are matched with the palette's by optimal transport, so that each palette colour is used and
no colour goes farther than it must. Every pixel is shifted as the main colours near it are, so textures stay. The
scene is changed before the product is laid over it: the product's pixels are not touched, and its soft edge blends
with the changed scene, so there is no halo.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.errors import BadInput
from packshot.imaging.light.palette import F64, colours_of, lab_of, main_colours, sample_of
from packshot.types import F32, U8

__all__ = ["harmonise", "palette_distance"]

MAIN_COLOURS = 16
"""Most main colours that a scene is described by."""
LIGHTNESS = 0.35
"""How much the lightness counts beside the colour when a main colour looks for its palette colour."""
BRIGHTENED = 0.6
"""How much a palette moves the lightness, relative to the colour: light and shade are the scene's own."""
NEAR = 12.0
"""The distance in CIE L*a*b* over which a main colour's shift fades."""
EVENNESS, EVENNESS_OF_SHARES = 0.3, 1.0
"""How far the palette's colours must have their shares of the scene: 0 = each colour goes to the nearest, 1 = exactly.
The second holds where the shares are known; the first where all colours count alike, because nobody said more."""
SINKHORN = (0.02, 60)
"""The softness of the transport, as a share of the largest cost, and its rounds."""
NODES, BITS = 17, 7
"""The shift is computed at NODES colours a channel and applied at 2**BITS."""


def harmonise(
    scene: U8, palette: Sequence[str], strength: float, alpha: U8 | None = None, *, shares: Sequence[float] = ()
) -> U8:
    """The scene with its colours moved towards a palette.

    `scene` is uint8 HxWx3 RGB. `palette` is 1 to 8 colours `#rrggbb`. `strength` is 0..1; with 0 the scene stays as it
    is. `alpha` is the product's, uint8 HxW: what lies under the product does not count as the scene's colour. `shares`
    has the weight of each palette colour, above 0; empty = they are not known. Raises BadInput `invalid_request` for a
    palette or a strength that is none.
    """
    wanted = lab_of(colours_of(palette))
    if not 0 <= strength <= 1:  # refuses NaN too
        raise BadInput("invalid_request", f"strength must be 0 to 1, got {strength:g}; such as 0.5")
    sample = sample_of(scene, alpha)
    if strength == 0 or len(sample) == 0:
        return scene.copy()
    centres, weights = main_colours(sample, most=MAIN_COLOURS)
    share = np.array(shares or [1.0] * len(wanted), np.float64)
    goals = _transported(centres, weights, wanted, share / share.sum(), EVENNESS_OF_SHARES if shares else EVENNESS)
    shifts = (goals - centres) * (BRIGHTENED, 1.0, 1.0) * strength
    return _shifted(scene, centres, shifts)


def palette_distance(
    scene: U8, palette: Sequence[str], alpha: U8 | None = None, *, shares: Sequence[float] = ()
) -> float:
    """How far a scene is from a palette, in CIE L*a*b*.

    Without `shares` it is the mean distance to the nearest colour, in a and b. With them, it is how far the scene's
    colours must move on average so that each palette colour has its share; the lightness counts by LIGHTNESS.
    """
    wanted, sample = lab_of(colours_of(palette)), sample_of(scene, alpha)
    if len(sample) == 0:
        return 0.0
    if not shares:
        apart = np.linalg.norm(sample[:, None, 1:] - wanted[None, :, 1:], axis=2)
        return float(apart.min(axis=1).mean())
    centres, weights = main_colours(sample, most=MAIN_COLOURS)
    share = np.array(shares, np.float64)
    cost, plan = _plan(centres, weights, wanted, share / share.sum(), 1.0)
    return float((plan * np.sqrt(cost)).sum() / plan.sum())


def _transported(centres: F64, weights: F64, palette: F64, share: F64, evenness: float) -> F64:
    """Where the transport moves each main colour: the mean of the palette's colours that it is assigned to, Kx3."""
    _, plan = _plan(centres, weights, palette, share, evenness)
    moved: F64 = plan @ palette / np.maximum(plan.sum(axis=1, keepdims=True), 1e-12)
    return moved


def _plan(centres: F64, weights: F64, palette: F64, share: F64, evenness: float) -> tuple[F64, F64]:
    """(squared distances, how much of each main colour goes to each palette colour), both KxP.

    `share` is that of each palette colour; they add up to 1, as `weights` do.
    """
    scale = np.array([LIGHTNESS, 1.0, 1.0])
    cost = (((centres[:, None] - palette[None]) * scale) ** 2).sum(axis=2)
    kernel = np.exp(-(cost - cost.min(axis=1, keepdims=True)) / max(SINKHORN[0] * float(cost.max()), 1e-6))
    left, right = np.ones(len(centres)), np.ones(len(palette))
    for _ in range(SINKHORN[1]):
        left = weights / np.maximum(kernel @ right, 1e-12)
        right = (share / np.maximum(kernel.T @ left, 1e-12)) ** evenness
    return cost, left[:, None] * kernel * right[None]


def _shifted(scene: U8, centres: F64, shifts: F64) -> U8:
    """The scene, each colour shifted as the main colours near it are."""
    side = np.linspace(0, 255, NODES, dtype=np.float32)
    nodes = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)  # red, green, blue
    lab = lab_of(nodes)
    apart = ((lab[:, None] - centres[None]) ** 2).sum(axis=2)
    weights = np.exp(-(apart - apart.min(axis=1, keepdims=True)) / (2 * NEAR**2))
    weights /= weights.sum(axis=1, keepdims=True)
    ends = np.clip(np.minimum(lab[:, :1], 100 - lab[:, :1]) / 20, 0.3, 1)  # black and white have little room for colour
    moved = (lab + weights @ shifts * ends).astype(np.float32)
    rgb = np.clip(cv2.cvtColor(moved[None], cv2.COLOR_LAB2RGB)[0], 0, 1) * 255
    table = _enlarged((rgb - nodes).reshape(NODES, NODES, NODES, 3))
    coarse = scene >> (8 - BITS)
    index = (coarse[..., 0].astype(np.int32) << (2 * BITS)) | (coarse[..., 1].astype(np.int32) << BITS) | coarse[..., 2]
    return np.asarray(cv2.add(scene, table.reshape(-1, 3)[index], dtype=cv2.CV_8U), np.uint8)


def _enlarged(table: F32) -> NDArray[np.int16]:
    """A table of NODES colours a channel, enlarged linearly to 2**BITS; each entry is that of its middle. int16."""
    count = 1 << BITS
    place = (np.arange(count) + 0.5) * (256 / count) - 0.5
    at = np.clip(place / 255 * (NODES - 1), 0, NODES - 1)
    low = np.minimum(at.astype(np.int64), NODES - 2)
    share = (at - low).astype(np.float32)
    for axis in range(3):
        shape = [-1 if other == axis else 1 for other in range(4)]
        part = share.reshape(shape)
        table = np.take(table, low, axis) * (1 - part) + np.take(table, low + 1, axis) * part
    return np.asarray(np.rint(table), np.int16)
