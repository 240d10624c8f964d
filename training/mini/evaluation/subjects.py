"""Pictures with known masks that no training has seen: worn renders, collages, and real photographs masked by hand.

Seeds from 900,000 on are kept for evaluation. Every set is drawn in chunks of CHUNK,
so that a shorter run measures a prefix of a longer one's subjects.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from training.mini.collage import collage, degrade
from training.scenes import render
from training.scenes.words import UNSEEN_FAMILIES, UNSEEN_MATERIALS

U8 = NDArray[np.uint8]
Bits = NDArray[np.bool_]

PHOTOS = Path(__file__).parents[1] / "photos.yaml"
CHUNK = 4
SMALLEST = 0.005
"""A collage's clutter may hide its product: below this share of the picture there is nothing to point at."""
HELD_OUT, FAMILIES, MATERIALS, COLLAGES = 990_000, 991_000, 992_000, 993_000
CALIBRATION = 890_000
"""Neither trained on nor measured: what the score's line is fitted to."""


@dataclass(frozen=True)
class Subject:
    """A picture and the product in it. image: uint8 HxWx3 RGB. truth: bool HxW. part: what could be meant alone,
    or None."""

    name: str
    image: U8
    truth: Bits
    part: Bits | None = None
    shown: bool = True


def held_out(count: int, size_px: int) -> list[Subject]:
    return _rendered("held_out", count, size_px, HELD_OUT)


def for_calibration(count: int, size_px: int) -> list[Subject]:
    return _rendered("calibration", count, size_px, CALIBRATION)


def unseen_families(count: int, size_px: int) -> list[Subject]:
    return _rendered("unseen_families", count, size_px, FAMILIES, families=UNSEEN_FAMILIES)


def unseen_materials(count: int, size_px: int) -> list[Subject]:
    return _rendered("unseen_materials", count, size_px, MATERIALS, materials=UNSEEN_MATERIALS)


def collages(count: int, size_px: int) -> list[Subject]:
    return list(islice(_collages(size_px), count))


def _rendered(
    name: str,
    count: int,
    size_px: int,
    seed: int,
    families: Sequence[str] | None = None,
    materials: Sequence[str] | None = None,
) -> list[Subject]:
    """Scenes as an amateur's camera gives them (`collage.degrade`)."""
    subjects = []
    for chunk in range(-(-count // CHUNK)):
        batch = render(CHUNK, size_px, seed + chunk, families=families, materials=materials)
        for index in range(CHUNK):
            rng = np.random.default_rng([seed, chunk, index])
            image = degrade(rng, batch.image[index].numpy().astype(np.float32) / np.float32(255))
            truth, part = (layer[index].numpy() >= 0.5 for layer in (batch.mask, batch.part))
            subjects.append(Subject(f"{name}-{CHUNK * chunk + index}", image, truth, _worth(part)))
    return subjects[:count]


def _collages(size_px: int) -> Iterator[Subject]:
    for index in range(1 << 20):
        image, whole, part = collage(np.random.default_rng([COLLAGES, index]), size_px)
        if (truth := whole > 127).mean() >= SMALLEST:
            yield Subject(f"collages-{index}", image, truth, _worth(part > 127))


def _worth(part: Bits) -> Bits | None:
    return part if part.mean() >= SMALLEST else None


@functools.cache
def real_photos() -> tuple[Subject, ...]:
    """One subject for each object of photos.yaml, named photo/object."""
    import skimage.data

    subjects = []
    for name, entry in yaml.safe_load(PHOTOS.read_text("utf-8")).items():
        found: Any = skimage.data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(skimage.data, name)()
        image = np.ascontiguousarray(found if found.ndim == 3 else np.stack([found] * 3, axis=-1))
        for item, polygons in entry["objects"].items():
            drawn = np.zeros(image.shape[:2], np.uint8)
            for polygon in polygons:
                cv2.fillPoly(drawn, [np.array(polygon, np.int32)], 1)
            subjects.append(Subject(f"{name}/{item}", image, drawn > 0, shown=entry.get("shown", True)))
    return tuple(subjects)
