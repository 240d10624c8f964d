"""The segmenter's training pictures, made before training so that it need not wait.

They are collages, crowds, degraded scenes, and path-traced pictures. A shard is a .npy file of uint8 (N, S, S, 5): RGB,
each pixel's object and its part. Objects are numbered from 1, and 0 is the ground. The parts of an object are numbered
from 1, and 0 belongs to no part. A training lists its folders again while it runs, so shards may be added during it. A
shard is written under a temporary name and then renamed, so that a reader never sees an incomplete one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.mini.collage import collage, degrade
from training.path_traced.shards import pictures, usable

U8 = NDArray[np.uint8]
Draw = Callable[[np.random.Generator, int], tuple[U8, U8, U8]]
PICTURES_PER_SHARD = 200


def one_product(rng: np.random.Generator, size_px: int) -> tuple[U8, U8, U8]:
    """A collage with its masks as labels: object 1, and its part 1."""
    image, whole, part = collage(rng, size_px)
    return image, _label(whole), _label(part) * _label(whole)


def _label(mask: U8) -> U8:
    return (mask > 127).astype(np.uint8)


def write_shards(out: Path, count: int, *, size_px: int = 256, seed: int = 0, draw: Draw = one_product) -> None:
    """Write shards with `count` pictures into `out`. Existing shards are kept, so a call can be resumed.

    `draw` makes one picture of `size_px` squared: its image, objects and parts.
    """
    out.mkdir(parents=True, exist_ok=True)
    for number in range(-(-count // PICTURES_PER_SHARD)):
        path = out / f"{seed:03d}-{number:04d}.npy"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, number])
        drawn = min(PICTURES_PER_SHARD, count - number * PICTURES_PER_SHARD)
        rows = np.stack([np.dstack(draw(rng, size_px)) for _ in range(drawn)])
        _save(path, rows)


def degrade_scenes(scenes: Path, out: Path) -> int:
    """Convert every shard of drawn scenes (`training.mini.data`) to degraded photos. Existing shards are kept.

    Returns the number of new shards.
    """
    out.mkdir(parents=True, exist_ok=True)
    fresh = [path for path in sorted(scenes.glob("*.npz")) if not (out / f"{path.stem}.npy").exists()]
    for path in fresh:
        rng = np.random.default_rng(int(path.stem))
        with np.load(path) as shard:
            photos = [degrade(rng, image.astype(np.float32) / np.float32(255)) for image in shard["image"]]
            whole, part = _label(shard["mask"]), _label(shard["part"])
            rows = np.concatenate([np.stack(photos), whole[..., None], (part * whole)[..., None]], axis=3)
        _save(out / f"{path.stem}.npy", rows)
    return len(fresh)


def degrade_path_traced(rendered: Path, out: Path) -> int:
    """Convert every new training shard of path-traced pictures to degraded photos. Returns the number of new shards.

    Every product of a picture is an object, and the main product's material groups are its parts.
    """
    out.mkdir(parents=True, exist_ok=True)
    fresh = [path for path in sorted(rendered.glob("train-*.npz")) if not (out / f"{path.stem}.npy").exists()]
    for path in fresh:
        rng = np.random.default_rng(int(path.stem.partition("-")[2]))
        rows = []
        for picture in pictures(path):
            if usable(picture):
                image, index, part = (np.asarray(picture.arrays[name]) for name in ("image", "index", "part"))
                rows.append(np.dstack([degrade(rng, image.astype(np.float32) / np.float32(255)), index, part]))
        if rows:
            _save(out / f"{path.stem}.npy", np.stack(rows))
    return len(fresh)


def _save(path: Path, rows: U8) -> None:
    """Write a shard atomically."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, rows)
    partial.replace(path)


class Shards:
    """Random access to every picture in the shards of some folders, memory-mapped.

    Folders are picked equally often, whatever they hold; one that is named twice is picked twice as often. Raises
    FileNotFoundError when there is no shard.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = list(folders)
        self.open: dict[Path, dict[Path, U8]] = {folder: {} for folder in folders}
        self.refresh()

    def refresh(self) -> None:
        """Open the shards that were added since the last call."""
        for folder, shards in self.open.items():
            for path in folder.glob("*.npy"):
                if path not in shards:
                    shards[path] = np.load(path, mmap_mode="r")
        if not len(self):
            raise FileNotFoundError(
                f"{', '.join(map(str, self.folders))} must hold shards, got none; run `python -m training.mini "
                "collages` first"
            )

    def __len__(self) -> int:
        return sum(len(rows) for shards in self.open.values() for rows in shards.values())

    def pick(self, rng: np.random.Generator) -> U8:
        """A random picture, uint8 SxSx5. It is a read-only view."""
        filled = [folder for folder in self.folders if self.open[folder]]
        shards = list(self.open[filled[rng.integers(len(filled))]].values())
        rows = shards[rng.integers(len(shards))]
        picture: U8 = rows[rng.integers(len(rows))]
        return picture
