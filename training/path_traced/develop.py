"""From a path tracer's linear passes to what a shard holds. Numpy only: Blender's Python runs it too.

Linear pictures are float32 HxWx3 RGB; a level white card under the take's light has the value 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
I8 = NDArray[np.int8]

CARD = 0.80
"""The display's linear value of a white card before the shoulder: white paper stays below clipping."""
KNEE = 0.55
NOTHING = 1e3
"""Depth beyond this many product sizes is the sky."""
SHINES = 255
"""The object index of what gives light itself."""


def exposure(linear: F32, product: NDArray[np.bool_]) -> float:
    """A photographer's correction of the metered exposure: up to one stop, so that the product is neither lost nor
    burnt."""
    grey = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    bright = float(np.percentile(grey[product], 90)) if product.any() else float(np.percentile(grey, 90))
    middle = float(np.median(grey))
    wanted = 0.75 * (0.62 / max(bright, 1e-3)) ** 0.5 + 0.25 * (0.4 / max(middle, 1e-3)) ** 0.35
    return CARD * float(np.clip(wanted, 0.6, 2.0))


def tone(linear: F32, gain: float) -> U8:
    """Display picture, uint8 sRGB: straight up to KNEE, then a soft shoulder that reaches white at 6."""
    light = np.maximum(linear, 0) * np.float32(gain)
    over = np.maximum(light - KNEE, 0) / (1 - KNEE)
    bent = KNEE + (1 - KNEE) * over * (1 + over / 144) / (1 + over)
    shown = np.clip(np.where(light > KNEE, bent, light), 0, 1)
    coded = np.where(
        shown <= 0.0031308,
        shown * 12.92,
        1.055 * np.power(shown, 1 / 2.4, where=shown > 0, out=np.zeros_like(shown)) - 0.055,
    )
    return (coded * 255 + 0.5).astype(np.uint8)


def shadow(with_product: F32, plate: F32, alpha: F32, beyond: NDArray[np.bool_]) -> U8:
    """What share of the plate's light is left where the product is not: 255 = all, 0 = none; 255 on the product itself.

    All have the same size. alpha: 0..1 coverage of the product. beyond: sky and lamps, which no shadow reaches.
    """
    lit, empty = (blurred(picture.sum(axis=2)) + 1e-3 for picture in (with_product, plate))
    left = np.clip(lit / empty, 0, 1)
    left = np.where((alpha > 0.02) | (blurred(beyond.astype(np.float32)) > 0), 1.0, left)
    return (left * 255 + 0.5).astype(np.uint8)


def blurred(picture: F32) -> F32:
    """The mean of each 3x3 neighbourhood of an HxW picture."""
    padded = np.pad(picture, 1, mode="edge")
    height, width = picture.shape
    total = sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3))
    return np.asarray(total / 9, dtype=np.float32)


def camera_normals(world: F32, rotation: F32) -> I8:
    """int8 HxWx3 in the camera's frame: x right, y up, z to the camera, times 127; 0 where nothing was hit.

    world: normals averaged over a pixel. rotation: 3x3, the camera's axes as columns in the world's frame.
    """
    turned = world @ rotation
    length = np.linalg.norm(turned, axis=2, keepdims=True)
    unit = np.where(length > 0.2, turned / np.maximum(length, 1e-6), 0)
    return np.round(unit * 127).astype(np.int8)


def depth16(depth: F32) -> NDArray[np.float16]:
    """Distance along the view axis in product sizes; infinite where only the sky is."""
    return np.where(depth > NOTHING, np.inf, depth).astype(np.float16)


def indices(objects: F32, materials: F32, alpha: F32) -> tuple[U8, U8]:
    """Object index (0 set, 1 main product, 2.. neighbours) and part index (1.. material groups of the main product, 0
    elsewhere).

    Index passes are not smoothed; alpha decides where the main product is, and pixels that disagree have part 0.
    """
    main = alpha >= 0.5
    others = np.where((objects == 1) | (objects == SHINES), 0, objects)
    index = np.where(main, 1, others).astype(np.uint8)
    part = np.where(main & (objects == 1), materials, 0).astype(np.uint8)
    return index, part


def halved(picture: F32) -> F32:
    """The mean of each 2x2 block; height and width are even."""
    height, width = picture.shape[:2]
    blocks = picture.reshape(height // 2, 2, width // 2, 2, *picture.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)
