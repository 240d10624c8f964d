"""What crowds are made of: photographs and cut-outs that lie in folders, and products of path-traced shards.

    runs/material/photos/*.jpg      real photographs: grounds and surfaces, without labels
    runs/material/cutouts/*.png     objects with transparent surroundings
    runs/path_traced/*.npz          path-traced pictures (`training.path_traced.shards`), cut out by their exact alpha

docs/training.md names freely licensed sources. The photographs of the evaluation must not lie in these folders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.path_traced.shards import pictures, usable

Rng = np.random.Generator
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

CUTOUT_PX = 256
"""Longest side of a cut-out."""
PHOTO_PX = 1400
"""Longest side of a photograph."""


@dataclass
class Cutout:
    """An object: `colours` uint8 hxwx3 RGB, `alpha` uint8 hxw; `parts` uint8 hxw numbers its parts from 1."""

    colours: U8
    alpha: U8
    parts: U8


@dataclass
class Material:
    """Photographs (uint8 HxWx3 RGB) and cut-outs by source, so that a source with few cut-outs is not drowned."""

    photos: list[U8] = field(default_factory=list)
    cutouts: dict[str, list[Cutout]] = field(default_factory=dict)

    def cutout(self, rng: Rng) -> Cutout | None:
        """A random cut-out; None if there are none."""
        sources = [found for found in self.cutouts.values() if found]
        if not sources:
            return None
        found = sources[rng.integers(len(sources))]
        return found[rng.integers(len(found))]

    def piece(self, rng: Rng, height: int, width: int) -> F32 | None:
        """A random piece of a photograph, float HxWx3 in 0..1, mirrored and recoloured; None without photographs."""
        if not self.photos:
            return None
        photo = self.photos[rng.integers(len(self.photos))]
        most = min(photo.shape[0] / height, photo.shape[1] / width)
        zoom = np.exp(rng.uniform(np.log(min(0.35, most)), np.log(most)))
        rows, columns = max(2, int(height * zoom)), max(2, int(width * zoom))
        y, x = rng.integers(photo.shape[0] - rows + 1), rng.integers(photo.shape[1] - columns + 1)
        crop = photo[y : y + rows, x : x + columns]
        how = cv2.INTER_AREA if zoom > 1 else cv2.INTER_LINEAR
        piece = cv2.resize(crop, (width, height), interpolation=how).astype(np.float32) / 255
        if rng.random() < 0.5:
            piece = piece[:, ::-1]
        return recoloured(rng, np.ascontiguousarray(piece))


def recoloured(rng: Rng, picture: F32, most: float = 1.0) -> F32:
    """The picture with other tones: gains, sometimes grey, swapped channels or another contrast."""
    fate = rng.random()
    if fate < 0.12:
        picture = np.repeat(picture.mean(2, keepdims=True), 3, axis=2)
    elif fate < 0.3:
        picture = np.ascontiguousarray(picture[..., rng.permutation(3)])
    gains = np.exp(rng.normal(0, 0.1 * most, 3) + rng.normal(0, 0.2 * most)).astype(np.float32)
    picture = picture * gains
    if rng.random() < 0.3:
        middle = picture.mean((0, 1))
        picture = middle + (picture - middle) * np.float32(rng.uniform(0.4, 1.4))
    return np.clip(picture, 0, 1)


def read_material(photos: Path | None, cutouts: Path | None, path_traced: Path | None) -> Material:
    """Read all material. A folder that is None or has no files adds nothing.

    Cut-outs are grouped by the part of their name before the first `_`.
    """
    found = Material()
    for path in sorted(photos.glob("*.[jp][pn]g")) if photos else []:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is not None:
            found.photos.append(np.ascontiguousarray(_at_most(picture, PHOTO_PX)[..., ::-1]))
    for path in sorted(cutouts.glob("*.png")) if cutouts else []:
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is not None and picture.ndim == 3 and picture.shape[2] == 4:
            picture = _at_most(picture, CUTOUT_PX)
            alpha = np.ascontiguousarray(picture[..., 3])
            colours = np.ascontiguousarray(picture[..., 2::-1])
            found.cutouts.setdefault(path.name.partition("_")[0], []).append(
                Cutout(colours, alpha, np.zeros_like(alpha))
            )
    for path in sorted(path_traced.glob("train-*.npz")) if path_traced else []:
        rendered = [_product(picture.arrays) for picture in pictures(path) if usable(picture)]
        found.cutouts.setdefault("path-traced", []).extend(piece for piece in rendered if piece is not None)
    return found


def _product(arrays: object) -> Cutout | None:
    """The main product of a path-traced picture, unless the frame crops it."""
    image, alpha, part = (np.asarray(arrays[name]) for name in ("image", "alpha", "part"))  # type: ignore[index]
    solid = alpha > 127
    if solid[0].any() or solid[-1].any() or solid[:, 0].any() or solid[:, -1].any():
        return None
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Cutout(image[place].copy(), alpha[place].copy(), part[place].copy())


def _at_most(picture: U8, longest_px: int) -> U8:
    scale = longest_px / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
