"""Pictures with known masks that no training uses: degraded renders, collages, and real photographs with drawn masks.

Seeds from 900,000 on are reserved for evaluation. Every set is drawn in chunks of CHUNK, so that a shorter run measures
a prefix of a longer run's subjects.
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
from training.mini.crowd import crowd
from training.mini.material import Material
from training.scenes import render
from training.scenes.words import UNSEEN_FAMILIES, UNSEEN_MATERIALS

U8 = NDArray[np.uint8]
Bits = NDArray[np.bool_]

PHOTOS = Path(__file__).parents[1] / "photos.yaml"
CHUNK = 4
SMALLEST = 0.005
"""Smallest share of the picture that a product or part must cover. Clutter may hide more of a collage's product."""
SMALLEST_OF_CROWD = 0.002
HELD_OUT, FAMILIES, MATERIALS, COLLAGES = 990_000, 991_000, 992_000, 993_000
CALIBRATION = 890_000
"""Seed of the set to which the calibration of scores is fitted. It is used neither in training nor in evaluation."""


@dataclass(frozen=True)
class Subject:
    """A picture (uint8 HxWx3 RGB) and the true mask of its product (bool HxW).

    `part` is the mask of a part that could be meant on its own, or None. `shown` says whether the licence allows
    showing the picture.
    """

    name: str
    image: U8
    truth: Bits
    part: Bits | None = None
    shown: bool = True


def held_out(count: int, size_px: int) -> list[Subject]:
    """Scenes with the families and materials of training."""
    return _rendered("held_out", count, size_px, HELD_OUT)


def for_calibration(count: int, size_px: int) -> list[Subject]:
    """Pictures to which the calibration of scores is fitted: half are crowds, which are hard, the others scenes and
    collages."""
    scenes, collages = count // 4, count // 4
    return [
        *islice(_crowds(size_px), count - scenes - collages),
        *_rendered("calibration", scenes, size_px, CALIBRATION),
        *islice(_collages(size_px, CALIBRATION), collages),
    ]


def _crowds(size_px: int) -> Iterator[Subject]:
    """One object of each of many crowds of drawn objects; they need no material."""
    for index in range(1 << 20):
        rng = np.random.default_rng([CALIBRATION, index])
        image, objects, _ = crowd(rng, size_px, Material())
        large = np.flatnonzero(np.bincount(objects.ravel())[1:] >= SMALLEST_OF_CROWD * objects.size)
        if len(large):
            yield Subject(f"crowd-{index}", image, objects == 1 + int(rng.choice(large)))


def unseen_families(count: int, size_px: int) -> list[Subject]:
    """Scenes with product families that training does not use."""
    return _rendered("unseen_families", count, size_px, FAMILIES, families=UNSEEN_FAMILIES)


def unseen_materials(count: int, size_px: int) -> list[Subject]:
    """Scenes with materials that training does not use."""
    return _rendered("unseen_materials", count, size_px, MATERIALS, materials=UNSEEN_MATERIALS)


def collages(count: int, size_px: int) -> list[Subject]:
    """Collages with seeds that training does not use."""
    return list(islice(_collages(size_px, COLLAGES), count))


def _rendered(
    name: str,
    count: int,
    size_px: int,
    seed: int,
    families: Sequence[str] | None = None,
    materials: Sequence[str] | None = None,
) -> list[Subject]:
    """Scenes, degraded as by an amateur's camera (`collage.degrade`)."""
    subjects = []
    for chunk in range(-(-count // CHUNK)):
        batch = render(CHUNK, size_px, seed + chunk, families=families, materials=materials)
        for index in range(CHUNK):
            rng = np.random.default_rng([seed, chunk, index])
            image = degrade(rng, batch.image[index].numpy().astype(np.float32) / np.float32(255))
            truth, part = (layer[index].numpy() >= 0.5 for layer in (batch.mask, batch.part))
            subjects.append(Subject(f"{name}-{CHUNK * chunk + index}", image, truth, _worth(part)))
    return subjects[:count]


def _collages(size_px: int, seed: int) -> Iterator[Subject]:
    for index in range(1 << 20):
        image, whole, part = collage(np.random.default_rng([seed, index]), size_px)
        if (truth := whole > 127).mean() >= SMALLEST:
            yield Subject(f"collages-{index}", image, truth, _worth(part > 127))


def _worth(part: Bits) -> Bits | None:
    return part if part.mean() >= SMALLEST else None


@functools.cache
def real_photos() -> tuple[Subject, ...]:
    """A subject for each object of photos.yaml, named photo/object."""
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
