"""A contact shadow: what tells the eye that the product stands on something."""

from __future__ import annotations

import cv2
import numpy as np

from packshot.types import F32, U8, Flat

__all__ = ["contact_shadow"]

MIN_PART = 0.002  # of the largest part's area: smaller specks cast nothing
MAX_PARTS = 16
CONTACT = 0.50  # darkness of the thin line of contact, 0..1
GLOOM = 0.28  # darkness of the soft band around it, 0..1
POOL = 0.26  # darkness of the flat pool on the ground, 0..1


def contact_shadow(flat: Flat) -> U8:
    """Darkening under and just around the base of every product part, uint8 HxW, 0 = none, 255 = black.

    Three layers per part, all sized by it: a thin, dark line that hugs the lower outline, a softer band around that,
    and a flat pool on the ground. The light is overhead and diffuse, as in a light tent.
    """
    shadow = np.zeros(flat.alpha.shape, np.float32)
    solid = (flat.alpha >= 128).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    parts = sorted(range(1, count), key=lambda part: -int(stats[part, cv2.CC_STAT_AREA]))[:MAX_PARTS]
    for part in parts:
        if stats[part, cv2.CC_STAT_AREA] < MIN_PART * stats[parts[0], cv2.CC_STAT_AREA]:
            break
        left, top, width, height = (int(stats[part, key]) for key in range(4))
        _add_part(shadow, (labels[top : top + height, left : left + width] == part).astype(np.float32), left, top)
    return np.rint(np.clip(shadow, 0, 1) * 255).astype(np.uint8)


def _add_part(shadow: F32, shape: F32, left: int, top: int) -> None:
    """Add one part's shadow. `shape`: float32 HxW in {0, 1}, its silhouette; `left`, `top`: where it lies."""
    height, width = shape.shape
    size = float(np.sqrt(width * height))
    pad = int(np.ceil(size * 0.30)) + 4
    padded = np.pad(shape, pad)
    rows = np.arange(padded.shape[0], dtype=np.float32)[:, None]
    base = pad + height  # the row under the lowest pixel

    # the line of contact: the silhouette, a little lower, fading out upwards over the lowest part
    rise = (base - rows) / height  # 0 at the base, 1 at the top
    contact = _soften(_lowered(padded, max(1.0, size * 0.010)), max(0.8, size * 0.009))
    contact = contact * np.clip(1 - rise / 0.30, 0, 1) ** 1.5

    # the gloom around it: the same, wider, softer and higher up
    gloom = _soften(_lowered(padded, size * 0.030), max(1.5, size * 0.035))
    gloom = gloom * np.clip(1 - rise / 0.45, 0, 1)

    # the pool: a flat ellipse on the ground, under the columns where the lowest part stands
    columns = np.flatnonzero(shape[int(height * 0.86) :].max(axis=0))
    centre, half = float(columns.mean()) + pad, max(2.0, (columns[-1] - columns[0] + 1) / 2)
    pool_height = max(2.0, 0.07 * height)
    across = (np.arange(padded.shape[1], dtype=np.float32)[None, :] - centre) / (half * 1.1)
    along = (rows - (base - 0.5 * pool_height)) / pool_height
    pool = _soften(np.asarray(across**2 + along**2 <= 1, np.float32), max(1.5, size * 0.045))

    both = 1 - (1 - CONTACT * contact) * (1 - GLOOM * gloom) * (1 - POOL * pool)
    y0, x0 = top - pad, left - pad
    seen_y = slice(max(0, y0), min(shadow.shape[0], y0 + padded.shape[0]))
    seen_x = slice(max(0, x0), min(shadow.shape[1], x0 + padded.shape[1]))
    window = both[seen_y.start - y0 : seen_y.stop - y0, seen_x.start - x0 : seen_x.stop - x0]
    shadow[seen_y, seen_x] = 1 - (1 - shadow[seen_y, seen_x]) * (1 - window)


def _lowered(values: F32, by_px: float) -> F32:
    move = np.array([[1, 0, 0], [0, 1, by_px]], np.float32)
    return np.asarray(cv2.warpAffine(values, move, values.shape[::-1]), np.float32)


def _soften(values: F32, sigma: float) -> F32:
    """Gaussian blur whose cost does not grow with sigma: wide ones run at a smaller size."""
    factor = max(1, int(sigma / 4))
    if factor == 1:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
    small_size = (-(-values.shape[1] // factor), -(-values.shape[0] // factor))
    small = cv2.GaussianBlur(cv2.resize(values, small_size, interpolation=cv2.INTER_AREA), (0, 0), sigma / factor)
    return np.asarray(cv2.resize(small, values.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
