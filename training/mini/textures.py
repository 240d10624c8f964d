"""Colours and textures for collages (`training.mini.collage`): noise, patterns, and pieces of scikit-image's photos."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator


F32 = NDArray[np.float32]


U8 = NDArray[np.uint8]


PHOTOS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
    "clock",
)


@functools.cache
def photographs() -> tuple[U8, ...]:
    """scikit-image's pictures, RGB, without the demo's coffee photo."""
    import skimage.data

    found = []
    for name in PHOTOS:
        picture = getattr(skimage.data, name)()
        found.append(np.ascontiguousarray(picture[..., :3] if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)))
    found += [np.ascontiguousarray(side) for side in skimage.data.stereo_motorcycle()[:2]]
    return tuple(found)


def noise(rng: Rng, size: int, *, coarse: float, stretch: float = 1.0, octaves: int = 4) -> F32:
    """Fractal value noise SxS in 0..1. `coarse` is the number of cells across; `stretch` > 1 elongates them along x."""
    total: F32 = np.zeros((size, size), np.float32)
    weight = 0.0
    for octave in range(octaves):
        cells = coarse * 2**octave
        rows, columns = (int(np.clip(cells * s, 2, size)) for s in (stretch**0.5, stretch**-0.5))
        layer = rng.random((rows, columns), dtype=np.float32)
        total += cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC) * 0.6**octave
        weight += 0.6**octave
    clipped: F32 = np.clip(total / weight, 0, 1)
    return clipped


def colour(rng: Rng) -> F32:
    """A random RGB colour in 0..1, with a distribution of hue, saturation and value like that of products and rooms."""
    hue, saturation, value = rng.random(), rng.beta(1.3, 1.6), rng.beta(2.0, 1.4)
    hsv = np.array([[[hue * 360, saturation, value]]], np.float32)
    rgb: F32 = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    return rgb


def texture(rng: Rng, size: int, near: F32 | None = None) -> F32:
    """A random surface SxSx3 in 0..1. With `near`, its colours stay close to that colour (camouflage)."""
    base = colour(rng) if near is None else np.clip(near + rng.normal(0, 0.07, 3).astype(np.float32), 0, 1)
    other = np.clip(base + rng.normal(0, 0.18, 3).astype(np.float32), 0, 1) if rng.random() < 0.75 else colour(rng)
    kind = rng.choice(["photo", "wood", "stone", "plain", "weave"], p=[0.3, 0.25, 0.15, 0.2, 0.1])
    if kind == "photo":
        return _photo_texture(rng, size, near)
    if kind == "wood":
        grain = noise(rng, size, coarse=rng.uniform(3, 14), stretch=rng.uniform(6, 40))
        rings = 0.5 + 0.5 * np.sin(grain * rng.uniform(6, 40) + rng.uniform(0, 6))
        field = 0.6 * rings + 0.4 * noise(rng, size, coarse=30, stretch=30, octaves=3)
        if rng.random() < 0.5:
            planks = (np.arange(size) / size * rng.uniform(2, 7) + rng.random()) % 1 < rng.uniform(0.01, 0.04)
            field = np.where(planks[:, None], 0.0, field)
        field = _spin(rng, field)
    elif kind == "stone":
        field = noise(rng, size, coarse=rng.uniform(2, 12), octaves=5)
        if rng.random() < 0.5:
            field = np.abs(field - 0.5) * 2
    elif kind == "weave":
        pitch = rng.uniform(3, 24)
        ramp = np.arange(size) / size * np.pi * 2 * size / 2 / pitch
        field = _spin(
            rng,
            (0.5 + 0.25 * np.sin(ramp)[:, None] + 0.25 * np.sin(ramp * rng.choice([0.0, 1.0, 2.0]))[None]).astype(
                np.float32
            ),
        )
    else:
        field = noise(rng, size, coarse=1.2, octaves=1)
    field = field.astype(np.float32)[..., None]
    mixed: F32 = base * field + other * (1 - field)
    return mixed


def _photo_texture(rng: Rng, size: int, near: F32 | None) -> F32:
    photos = photographs()
    photo = photos[rng.integers(len(photos))]
    height, width = photo.shape[:2]
    side = int(min(height, width) * rng.uniform(0.25, 1.0))
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    crop = cv2.resize(photo[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_LINEAR)
    crop = np.rot90(crop, int(rng.integers(4))).astype(np.float32) / 255
    if rng.random() < 0.5:
        crop = crop[..., rng.permutation(3)]
    if near is not None:
        crop = np.clip((crop - crop.mean((0, 1))) * rng.uniform(0.3, 0.9) + near, 0, 1)
    return np.ascontiguousarray(crop)


def _spin(rng: Rng, field: F32) -> F32:
    size = field.shape[0]
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 360), rng.uniform(1.0, 1.8))
    spun: F32 = cv2.warpAffine(field, turn, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return spun
