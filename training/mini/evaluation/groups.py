"""Held-out pictures of two or three products with their geometry and names, small enough to be committed.

`known` pictures show training objects in new light, places and company; `heldout` pictures show objects that no
training shows. All objects are public domain or CC-BY (`python -m training.path_traced credits`). Each picture is cut
to its products. groups.npz is made of lean shards:

    python -m training.path_traced groups --out DIR --split known --pictures 16
    python -m training.path_traced groups --out DIR --split heldout --pictures 16
    python -m training.mini.evaluation.groups DIR
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.mini.head_features import Labelled, labelled, labels

PATH = Path(__file__).with_suffix(".npz")
SPLITS = ("known", "heldout")
AROUND = 1.3
"""The side of a picture over the longer side of its products' box."""
SMALLEST_PX = 500
"""A product of which less is seen, in pixels of the uncut picture, is not named."""


@dataclass(frozen=True)
class Group:
    """A picture: `image` uint8 HxWx3; of each pixel the product (`index`, 1..), its true normal and depth.

    `normals` is float32 HxWx3, of length 1 on products. `depth` is float32 HxW in 0..1 of each product, near = 1. The
    names are those of the products 1 .. ; empty for one that is hardly seen.
    """

    split: str
    image: NDArray[np.uint8]
    index: NDArray[np.uint8]
    normals: NDArray[np.float32]
    depth: NDArray[np.float32]
    names: tuple[str, ...]

    def box(self, number: int) -> tuple[int, int, int, int]:
        """The box of a product, XYXY in pixels."""
        rows, columns = (np.flatnonzero((self.index == number).any(axis)) for axis in (1, 0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def read_groups(path: Path = PATH) -> list[Group]:
    """All pictures, those of known objects first."""
    with np.load(path) as saved:
        arrays = {name: saved[name] for name in saved.files}
    found = []
    for number, (split, names) in enumerate(zip(arrays["splits"], arrays["names"], strict=True)):
        image, index, normals, depth = (
            _decoded(arrays[f"{name}-{number}"]) for name in ("image", "index", "normals", "depth")
        )
        unit = normals.astype(np.float32) / 127 - 1
        unit = np.where((index > 0)[..., None], unit / np.maximum(np.linalg.norm(unit, axis=2, keepdims=True), 1e-3), 0)
        shown = tuple(str(name) for name in names if name != "-")
        found.append(Group(str(split), image, index, unit.astype(np.float32), (depth / 255).astype(np.float32), shown))
    return found


def _decoded(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture: Any = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(picture[..., ::-1] if picture.ndim == 3 else picture, dtype=np.uint8)


def _encoded(picture: NDArray[Any], suffix: str) -> NDArray[np.uint8]:
    shown = picture[..., ::-1] if picture.ndim == 3 else picture
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    return np.asarray(cv2.imencode(suffix, np.ascontiguousarray(shown), options)[1].ravel(), np.uint8)


def _cut(picture: Labelled) -> dict[str, NDArray[np.uint8]]:
    """The columns of a picture, cut to its products."""
    rows, columns = (np.flatnonzero((picture.index > 0).any(axis)) for axis in (1, 0))
    full = len(picture.index)
    side = int(min(full, AROUND * max(rows[-1] - rows[0], columns[-1] - columns[0])))
    top, left = (int(np.clip((part[0] + part[-1] - side) / 2, 0, full - side)) for part in (rows, columns))
    inside = np.s_[top : top + side, left : left + side]
    depth = np.zeros(picture.index.shape, np.float32)
    for number in np.unique(picture.index[picture.index > 0]):
        depth += labels(picture, int(number))[1]
    normals = np.where((picture.index > 0)[..., None], picture.normals.astype(np.int16) + 127, 0)
    return {
        "image": _encoded(picture.image[inside], ".jpg"),
        "index": _encoded(picture.index[inside], ".png"),
        "normals": _encoded(normals[inside].astype(np.uint8), ".png"),
        "depth": _encoded((depth[inside] * 255 + 0.5).astype(np.uint8), ".png"),
    }


def write_groups(folder: Path, path: Path = PATH) -> None:
    """Write the pictures of the lean shards `known-*` and `heldout-*` in `folder`."""
    columns: dict[str, Any] = {}
    splits, names = list[str](), list[list[str]]()
    for split in SPLITS:
        for shard in sorted(folder.glob(f"{split}-*.npz")):
            for picture in labelled(shard):
                columns |= {f"{name}-{len(splits)}": values for name, values in _cut(picture).items()}
                areas = np.bincount(picture.index.ravel(), minlength=len(picture.names) + 1)[1:]
                seen = [name if area >= SMALLEST_PX else "" for name, area in zip(picture.names, areas, strict=False)]
                splits.append(split)
                names.append((seen + ["-"] * 3)[:3])
    with path.open("wb") as file:
        np.savez(file, splits=np.array(splits), names=np.array(names), **columns)


if __name__ == "__main__":
    write_groups(Path(sys.argv[1]))
