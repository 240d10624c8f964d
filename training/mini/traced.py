"""Path-traced pictures as scenes: the columns of `training.mini.data`, so that every part may train on them.

python -m training.mini traced --path-traced DIR      # new shards of DIR -> runs/scenes/traced-*.npz

Each usable picture gives its whole frame, reduced to the scenes' size, and crops at its own scale. In half of them
the product is lit by another lamp than its scene, like a product that is cut out of a photo: it is taken from another
take of the same view, in which it stands in the same place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.mini.data import MIXED_LIGHT, depth_map
from training.path_traced.shards import Picture, pictures, usable
from training.scenes.render import product_edges

PREFIX = "traced-"
CROPS, MOST_CUT = 2, 0.1
"""The crops of a picture. One that cuts a larger share of the product is not used."""
Row = dict[str, NDArray[Any]]


def write_shards(folder: Path, shards: Path, size_px: int, seed: int = 0) -> int:
    """Convert the training shards in `shards` that `folder` does not hold yet. Returns their number.

    `size_px` is the side of a scene.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for source in sorted(shards.glob("train-*.npz")):
        path = folder / f"{PREFIX}{source.stem.removeprefix('train-')}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, int(source.stem.removeprefix("train-"))])
        rows = list(_rows(list(pictures(source)), size_px, rng))
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **_stacked(rows, size_px))  # type: ignore[arg-type]
        os.replace(part, path)
        written += 1
    return written


def _stacked(rows: list[Row], size_px: int) -> Row:
    """The columns of all rows. A shard without a usable picture has columns of length 0."""
    if rows:
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    blank = np.zeros((0, size_px, size_px), np.uint8)
    picture = np.zeros((0, size_px, size_px, 3), np.uint8)
    planes = dict.fromkeys(("mask", "part", "edges", "depth"), blank)
    return {"image": picture, **planes, "attributes": np.zeros((0, 10), np.int64)}


def _rows(shard: list[Picture], size_px: int, rng: np.random.Generator) -> Iterator[Row]:
    for picture in filter(usable, shard):
        image, alpha = picture.arrays["image"], picture.arrays["alpha"]
        others = [one for one in shard if one.view is picture.view and one is not picture and usable(one)]
        if others and rng.random() < MIXED_LIGHT:
            image = _relit(image, others[int(rng.integers(len(others)))].arrays["image"], alpha)
        depth = depth_map(picture.arrays["depth"], alpha >= 128)
        frame = np.dstack([image, alpha, picture.arrays["part"], depth])
        attributes = np.array(picture.take.attributes, np.int64)
        side = len(image)
        yield _row(frame, size_px, attributes)
        for top, left in rng.integers(0, max(side - size_px, 0) + 1, (CROPS, 2)).tolist():
            crop = frame[top : top + size_px, left : left + size_px]
            if int(crop[..., 3].sum()) >= (1 - MOST_CUT) * int(alpha.sum()):
                yield _row(crop, size_px, attributes)


def _row(frame: NDArray[np.uint8], size_px: int, attributes: NDArray[np.int64]) -> Row:
    """A row of the columns from a square frame of image, alpha, part and depth map: uint8 SxSx6."""
    part = np.where(frame[..., 4] > 0, frame[..., 3], 0)
    planes = [frame[..., :3], frame[..., 3], part, frame[..., 5]]
    if len(frame) != size_px:
        planes = [cv2.resize(plane, (size_px, size_px), interpolation=cv2.INTER_AREA) for plane in planes]
    image, mask, part, depth = (np.ascontiguousarray(plane, np.uint8) for plane in planes)
    edges = product_edges(image, mask.astype(np.float32) / 255)
    return {"image": image, "mask": mask, "part": part, "edges": edges, "depth": depth, "attributes": attributes}


def _relit(image: NDArray[np.uint8], other: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with the product's pixels of another take of its view. image, other: uint8 SxSx3."""
    share = alpha[..., None].astype(np.float32) / 255
    return np.asarray((image * (1 - share) + other * share).round(), np.uint8)
