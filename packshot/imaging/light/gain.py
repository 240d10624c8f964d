"""The gain: the smooth light that relighting lays over a product, and the file that proves that nothing else changed.

    Gain (uint16 h x w x 3, at most 128 px) ──bilinear──> the product's pixels ── x photo, rounded ──> relit layout

A gain is an exact fraction, and it is enlarged and applied in whole numbers. So anyone who has the photo's layout, the
gain file and the picture finds the same pixels on every machine. A grid of at most 128 px can neither change text nor
move an edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from packshot.imaging.codec import encode_png16, read_png16
from packshot.types import F32, U16, BoxXYXY, Flat

__all__ = ["GAIN_PX", "HIGH", "LOW", "Gain", "encode_gain", "lit_box", "read_gain", "relit"]

GAIN_PX = 128
"""The most pixels of a gain's longer side."""
LOW, HIGH = 0.72, 1.28
"""The least and the largest factor."""
UNIT_BITS = 15
UNIT = 1 << UNIT_BITS
"""The stored value of the factor 1."""
_BOUNDS = (round(LOW * UNIT), round(HIGH * UNIT))


@dataclass(frozen=True)
class Gain:
    """Factors of red, green and blue over the box of a layout's product.

    `values` is uint16 HxWx3, at most `GAIN_PX` on the longer side; 32768 is the factor 1, and every factor lies in
    0.72..1.28. Raises ValueError for other values.
    """

    values: U16

    def __post_init__(self) -> None:
        values = self.values
        if values.dtype != np.uint16 or values.ndim != 3 or values.shape[2] != 3 or 0 in values.shape:
            raise ValueError(f"a gain must be uint16 HxWx3 and not empty, got {values.dtype} {values.shape}")
        if max(values.shape) > GAIN_PX:
            raise ValueError(f"a gain may have at most {GAIN_PX} px a side, got {values.shape[1]}x{values.shape[0]}")
        low, high = int(values.min()), int(values.max())
        if low < _BOUNDS[0] or high > _BOUNDS[1]:
            got = f"{low / UNIT:.3f} to {high / UNIT:.3f}"
            raise ValueError(f"a gain's factors must lie in {LOW} to {HIGH}, got {got}")

    @classmethod
    def of(cls, factors: F32) -> Gain:
        """The gain with these factors (float32 HxWx3), clipped to the bounds and rounded to what a file keeps."""
        return cls(np.clip(np.rint(factors * UNIT), *_BOUNDS).astype(np.uint16))

    @property
    def factors(self) -> F32:
        """The factors, float32 HxWx3."""
        return np.asarray(self.values / np.float32(UNIT), np.float32)


def lit_box(flat: Flat) -> BoxXYXY | None:
    """The box over which a layout's gain lies: all pixels with alpha, XYXY in pixels. None without one."""
    x, y, width, height = cv2.boundingRect(cv2.extractChannel(flat.pixels, 3))
    return (x, y, x + width, y + height) if width else None


def relit(flat: Flat, gain: Gain) -> Flat:
    """The layout under the gain: each colour is round(colour x factor), at most 255. Alpha stays as it is."""
    box = lit_box(flat)
    if box is None:
        return flat
    x0, y0, x1, y1 = box
    pixels = flat.pixels.copy()
    here = pixels[y0:y1, x0:x1]
    # INTER_LINEAR_EXACT computes in whole numbers, so the result is the same on every machine
    factors = cv2.resize(gain.values, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR_EXACT)
    product = np.multiply(here[..., :3], factors, dtype=np.uint32)
    product += UNIT // 2
    product >>= UNIT_BITS
    here[..., :3] = np.minimum(product, 255)
    return Flat(pixels)


def encode_gain(gain: Gain) -> bytes:
    """The gain as a 16-bit RGB PNG, from which `read_gain` reads the same values."""
    return encode_png16(gain.values)


def read_gain(data: bytes) -> Gain:
    """The gain in a file that `encode_gain` wrote. Raises ValueError for other bytes."""
    return Gain(read_png16(data))
