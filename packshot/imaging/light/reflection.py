"""The reflection of a product in a glossy ground: the product, mirrored at its base, fading with the distance."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.contract.light import Reflection
from packshot.imaging.light.stand import SAG, contact_line, parts_of, stand_of
from packshot.types import F32, U8, Flat

__all__ = ["reflect"]

GRAZING = 0.35
"""A low camera sees more reflection: the strength's share that depends on the camera's elevation (Schlick, coarse)."""


def reflect(picture: U8, flat: Flat, wanted: Reflection) -> None:
    """Draw the reflection of each part into the scene `picture` (uint8 HxWx3 RGB), in place, below the product.

    The product's own pixels are laid over it later.
    """
    for part in parts_of(cv2.extractChannel(flat.pixels, 3)):
        high, wide = part.shape.shape
        line = contact_line(part.shape)
        first, across = int(line.min()), np.s_[part.left : part.left + wide]
        reach = round(high * wanted.fade) + int(line.max()) - first
        reach = min(reach, picture.shape[0] - part.top - first)
        if reach < 2:
            continue
        own = cv2.copyTo(flat.pixels[part.top : part.top + high, across], part.shape)
        rows = np.arange(first, first + reach, dtype=np.float32)[:, None]
        below = rows - line  # the distance from the ground's contact, 0 and more in the reflection
        layers = _blurred(_mirrored(own, line - below), wanted.blur, 0.012 * max(high, wide))
        fading = np.clip(1 - below / max(1.0, high * wanted.fade), 0, 1) ** 1.5 * np.clip(below + 1, 0, 1)
        tilt = (stand_of(part.shape).foreshortening - SAG[0]) / (SAG[1] - SAG[0])
        share = (wanted.strength * (1 - GRAZING * tilt) * fading)[..., None]
        here = np.s_[part.top + first : part.top + first + reach, across]
        seen = picture[here] * (1 - layers[..., 3:] * share) + layers[..., :3] * share
        picture[here] = np.rint(seen).astype(np.uint8)


def _mirrored(own: U8, source_rows: F32) -> F32:
    """The part's pixels from the given rows (float32 reach x w), premultiplied RGBA with alpha 0..1."""
    cover = own[..., 3:].astype(np.float32) / 255
    layers = np.dstack([own[..., :3] * cover, cover])
    columns = np.broadcast_to(np.arange(own.shape[1], dtype=np.float32), source_rows.shape)
    moved = cv2.remap(layers, np.ascontiguousarray(columns), source_rows.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(moved, np.float32)


def _blurred(layers: F32, blur: float, most_px: float) -> F32:
    """Blur the rows of premultiplied RGBA layers: none at the base, most at the far end."""
    if blur <= 0:
        return layers
    soft = cv2.GaussianBlur(layers, (0, 0), max(0.3, 4 * blur * most_px))
    little = cv2.GaussianBlur(layers, (0, 0), max(0.3, blur * most_px))
    share = np.linspace(0, 1, layers.shape[0], dtype=np.float32)[:, None, None]
    return np.asarray(little * (1 - share) + soft * share, np.float32)
