"""The contact shadow, which makes the product appear to stand on the ground."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.imaging.light.stand import parts_of
from packshot.types import F32, U8, Flat

__all__ = ["contact_shadow"]

CONTACT = 0.50  # darkness of the thin contact line, 0..1
HALO = 0.28  # darkness of the soft band around it, 0..1
ELLIPSE = 0.26  # darkness of the ellipse on the ground, 0..1


def contact_shadow(flat: Flat) -> U8:
    """The shadow under and around the base of each connected part of the product: uint8 HxW, 0 = none, 255 = black.

    Each part has three layers, whose size depends on the part's: a thin, dark line along the lower outline, a softer
    band around it, and a flat ellipse on the ground. They imitate diffuse light from above, as in a light tent.
    """
    alpha = cv2.extractChannel(flat.pixels, 3)
    shadow = np.zeros(alpha.shape, np.float32)
    for part in parts_of(alpha):
        _add_part(shadow, (part.shape > 0).astype(np.float32), part.left, part.top)
    return np.asarray(np.rint(np.clip(shadow, 0, 1) * 255), np.uint8)


def _add_part(shadow: F32, shape: F32, left: int, top: int) -> None:
    """Add one part's shadow in place.

    `shape` is the part's silhouette, float32 hxw in {0, 1}. `left` and `top` are its position on the canvas in pixels.
    """
    height, width = shape.shape
    size = float(np.sqrt(width * height))
    pad = int(np.ceil(size * 0.30)) + 4
    base = pad + height  # the row below the lowest pixel, in the padded silhouette
    ellipse_height = max(2.0, 0.07 * height)
    # the rows of the padded silhouette that can be darkened, and the part of them that lies on the canvas
    highest = base - max(0.45 * height, 1.5 * ellipse_height + size * 0.30)
    seen_y = slice(max(0, int(highest), pad - top), min(base + pad, shadow.shape[0] - top + pad))
    seen_x = slice(max(0, pad - left), min(width + 2 * pad, shadow.shape[1] - left + pad))
    rows = np.arange(seen_y.start, seen_y.stop, dtype=np.float32)[:, None]
    rise = (base - rows) / height  # 0 at the base, 1 at the top

    # the contact line: the silhouette, slightly lowered, fading out upwards
    contact = _soften(_lowered(shape, pad, max(1.0, size * 0.010)), max(0.8, size * 0.009), seen_y)[:, seen_x]
    contact = contact * np.clip(1 - rise / 0.30, 0, 1) ** 1.5

    # the halo: the same, but wider, softer and higher
    halo = _soften(_lowered(shape, pad, size * 0.030), max(1.5, size * 0.035), seen_y)[:, seen_x]
    halo = halo * np.clip(1 - rise / 0.45, 0, 1)

    # the ellipse on the ground, under the columns of the part's base
    ellipse = _soften(_ellipse(shape, pad, ellipse_height), max(1.5, size * 0.045), seen_y)[:, seen_x]

    light = (1 - CONTACT * contact) * (1 - HALO * halo) * (1 - ELLIPSE * ellipse)
    down, right = top - pad, left - pad
    part = np.s_[seen_y.start + down : seen_y.stop + down, seen_x.start + right : seen_x.stop + right]
    shadow[part] = 1 - (1 - shadow[part]) * (1 - (1 - light))


def _ellipse(shape: F32, pad: int, ellipse_height: float) -> F32:
    """A filled ellipse on the ground under the padded silhouette, float32 in {0, 1}."""
    height, width = shape.shape
    columns = np.flatnonzero(shape[int(height * 0.86) :].max(axis=0))
    centre, half = float(columns.mean()) + pad, max(2.0, (columns[-1] - columns[0] + 1) / 2)
    middle = pad + height - 0.5 * ellipse_height
    ellipse = np.zeros((height + 2 * pad, width + 2 * pad), np.float32)
    lines = slice(max(0, int(middle - ellipse_height) - 1), int(middle + ellipse_height) + 2)
    rows = np.arange(ellipse.shape[0], dtype=np.float32)[lines, None]
    across = (np.arange(ellipse.shape[1], dtype=np.float32)[None, :] - centre) / (half * 1.1)
    ellipse[lines] = across**2 + ((rows - middle) / ellipse_height) ** 2 <= 1
    return ellipse


def _lowered(shape: F32, pad: int, by_px: float) -> F32:
    """The silhouette with a border of `pad` pixels, moved down by `by_px` pixels."""
    tall = cv2.copyMakeBorder(shape, pad, pad, 0, 0, cv2.BORDER_CONSTANT)
    shift = np.array([[1, 0, 0], [0, 1, by_px]], np.float32)
    moved = cv2.warpAffine(tall, shift, tall.shape[::-1])
    return np.asarray(cv2.copyMakeBorder(moved, 0, 0, pad, pad, cv2.BORDER_CONSTANT), np.float32)


def _soften(values: F32, sigma: float, rows: slice) -> F32:
    """The given rows of a Gaussian blur with `sigma` px. A wide blur is computed at a smaller size to save time."""
    factor = max(1, int(sigma / 4))
    if factor == 1:
        reach = 4 * int(sigma + 1) + 1
        first = max(0, rows.start - reach)
        blurred = cv2.GaussianBlur(values[first : rows.stop + reach], (0, 0), sigma)
        return np.asarray(blurred[rows.start - first : rows.stop - first], np.float32)
    small_size = (-(-values.shape[1] // factor), -(-values.shape[0] // factor))
    small = cv2.GaussianBlur(cv2.resize(values, small_size, interpolation=cv2.INTER_AREA), (0, 0), sigma / factor)
    return np.asarray(cv2.resize(small, values.shape[::-1], interpolation=cv2.INTER_LINEAR)[rows], np.float32)
