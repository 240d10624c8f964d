"""What the heads train on: the frozen segmenter's features of pictures and of cutouts, made before training.

python -m training.mini features --images 1600 --path-traced DIR      # shards of DIR and DIR/groups -> runs/features

Pictures are those of `training.path_traced.splat` (runs/features/quick-*.npz) and path-traced shards, lean ones too
(traced-*.npz). Each picture is degraded, and gives a row of the detector's columns twice, once mirrored, in two
crops. Each product in it that is large and whole gives a row of the geometry's columns. With `--geometry-only` the
shards lie in runs/features/geometry: no detector rows, and of each product its mirror image too, because the drawing
of a picture takes longer than the encoding of a cutout.

features       float16 N,128,24,24  } of a picture
eighth         float16 N,64,48,48   }
cells          uint8   N,24,24      1.. the product that covers most of a cell, 0 none
boxes          float32 N,8,4        box of each product, XYXY in shares of the input's side
names          text    N,8          its name in the catalogue; empty where there are fewer
cut_features   float16 M,128,24,24  } of a cutout, `packshot.models.understand.geometry.framed`
cut_quarter    float16 M,32,96,96   }
cut_eighth     float16 M,64,48,48   }
cut_outline    float16 M,5,96,96
cut_normals    int8    M,96,96,3
cut_depth      float16 M,96,96      0..1, near = 1; on the product
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from packshot.models.packs.pack import Pack
from packshot.models.segment.segmenter import SamEncoder
from packshot.models.understand.geometry import framed, outline
from packshot.training.fit import bf16_where_fast
from packshot.types import Cutout, Photo
from training.mini.collage import degrade
from training.path_traced.assets import Cache
from training.path_traced.clouds import cloud
from training.path_traced.draw import QUICK, quick_views
from training.path_traced.scene_plan import ViewPlan
from training.path_traced.shards import pictures
from training.path_traced.splat import splat

U8 = NDArray[np.uint8]
Row = dict[str, NDArray[Any]]
MOST = 8
"""The largest number of products of a row."""
CELLS, MAP = 24, 96
SIZE_PX = 320
WHOLE_PX, SEEN_PX = 2500, 300
"""The smallest visible area of a product of the geometry's rows, and of the detector's, in pixels of a picture."""
SEEN_SHARE = 0.6
"""A product of which a crop shows less is not named in its row."""
GEOMETRY_FOLDER = "geometry"
"""The folder within that of the features which the geometry alone reads."""
DETECTOR = ("features", "eighth", "cells", "boxes", "names")
GEOMETRY = ("cut_features", "cut_quarter", "cut_eighth", "cut_outline", "cut_normals", "cut_depth")


@dataclass(frozen=True)
class Labelled:
    """A picture with its labels: `image` uint8 SxSx3, and of each pixel the product (`index`, 1..), depth, normals.

    `names` are those of the products 1 .. .
    """

    image: U8
    index: U8
    depth: NDArray[np.float16]
    normals: NDArray[np.int8]
    names: tuple[str, ...]

    def mirrored(self) -> Labelled:
        """The picture's mirror image."""
        normals = self.normals[:, ::-1] * np.array([-1, 1, 1], np.int8)
        return Labelled(self.image[:, ::-1], self.index[:, ::-1], self.depth[:, ::-1], normals, self.names)


def open_encoder(pack: Pack) -> SamEncoder:
    """The pack's image encoder."""
    sam: Any = pack.load("segmenter")
    return SamEncoder(sam, torch.device("cpu"), torch.float32)


def write_quick(
    out: Path,
    count: int,
    encoder: SamEncoder,
    plates: Sequence[U8] = (),
    seed: int = 0,
    *,
    geometry_only: bool = False,
) -> None:
    """Write shards of `count` quick pictures. Existing shards are kept.

    Without the catalogues (`training.path_traced.assets`) only packages are drawn. `plates` are sets, uint8 hxwx3.
    """
    cache = Cache.default()
    made_only = not cache.catalogues.exists()
    for number in range(-(-count // QUICK)):
        path = out / f"quick-{seed:02d}-{number:04d}.npz"
        if not path.exists():
            rng = np.random.default_rng([seed, number])
            views = quick_views("train", 1000 * seed + number, made_only=made_only)[: count - QUICK * number]
            found = (_quick(view, cache, plates, rng) for view in views)
            write(path, found, encoder, rng, geometry_only=geometry_only)


def _quick(view: ViewPlan, cache: Cache, plates: Sequence[U8], rng: np.random.Generator) -> Labelled:
    plans = (view.main, *view.neighbours)
    clouds = [cloud(plan, cache.catalogues, cache.root / "clouds") for plan in plans]
    plate = plates[int(rng.integers(len(plates)))] if len(plates) and rng.random() < 0.5 else None
    found: dict[str, Any] = splat(view, clouds, rng, SIZE_PX, plate)
    names = tuple(plan.name for plan in plans)
    return Labelled(found["image"], found["index"], found["depth"], found["normals"], names)


def write_traced(out: Path, shards: Path, encoder: SamEncoder, *, geometry_only: bool = False) -> int:
    """Convert every new training shard in `shards`. Returns their number."""
    fresh = 0
    for source in sorted(shards.glob("train-*.npz")):
        path = out / f"traced-{shards.name}-{source.stem}.npz"
        if not path.exists():
            rng = np.random.default_rng(int(source.stem.partition("-")[2]))
            write(path, labelled(source), encoder, rng, geometry_only=geometry_only)
            fresh += 1
    return fresh


def labelled(path: Path) -> Iterator[Labelled]:
    """The pictures of a path-traced shard."""
    for picture in pictures(path):
        found: dict[str, Any] = dict(picture.arrays)
        plans = (picture.view.main, *picture.view.neighbours)
        names = tuple(plan.name for plan in plans)
        yield Labelled(found["image"], found["index"], found["depth"], found["normals"], names)


def plates_of(shards: Path) -> list[U8]:
    """The empty sets of the path-traced training shards, without their products."""
    return [
        np.asarray(picture.arrays["plate"], np.uint8)
        for path in sorted(shards.glob("train-*.npz"))
        for picture in pictures(path)
        if "plate" in picture.arrays
    ]


def write(
    path: Path,
    found: Iterable[Labelled],
    encoder: SamEncoder,
    rng: np.random.Generator,
    *,
    geometry_only: bool = False,
) -> None:
    """Write one shard of rows from pictures. `geometry_only`: no detector rows, and mirrored products too."""
    rows: list[Row] = []
    cuts: list[Row] = []
    for picture in found:
        seen = picture.mirrored() if rng.random() < 0.5 else picture
        both = (seen, seen.mirrored())
        if geometry_only:
            cuts += [row for one in both for row in geometry_rows(one, encoder, rng)]
        else:
            rows += [row for one in both if (row := detector_row(one, encoder, rng))]
            cuts += geometry_rows(seen, encoder, rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: np.stack([row[name] for row in group]) for group in (rows, cuts) if group for name in group[0]}
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
    os.replace(part, path)


def encode(encoder: SamEncoder, pixels: U8) -> Row:
    """The features of a picture and the stem's maps, float16."""
    with bf16_where_fast(torch.device("cpu")):
        embedding = encoder.encode([Photo(np.ascontiguousarray(pixels))])[0]
    arrays = {
        "features": embedding.features,
        "quarter": embedding.extras["quarter"],
        "eighth": embedding.extras["eighth"],
    }
    return {name: np.asarray(values, np.float16) for name, values in arrays.items()}


def detector_row(picture: Labelled, encoder: SamEncoder, rng: np.random.Generator) -> Row | None:
    """The detector's columns of a random square crop; None when it shows no product."""
    index = np.where(picture.index <= len(picture.names), picture.index, 0)
    areas = np.bincount(index.ravel(), minlength=len(picture.names) + 1)
    y0, x0, side = _crop(index, rng)
    inside = np.s_[y0 : y0 + side, x0 : x0 + side]
    image, seen = degrade(rng, picture.image[inside].astype(np.float32) / np.float32(255)), index[inside]
    boxes, names = np.zeros((MOST, 4), np.float32), [""] * MOST
    covered = np.zeros((MOST + 1, CELLS, CELLS), np.float32)
    for number, name in enumerate(picture.names, start=1):
        mask = seen == number
        area = int(mask.sum())
        if area < max(SEEN_PX * (side / SIZE_PX) ** 2, SEEN_SHARE * areas[number]) or number > MOST:
            continue
        boxes[number - 1] = np.array(_box(mask)) / side
        names[number - 1] = name
        covered[number] = cv2.resize(mask.astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        covered[number][covered[number] < min(0.5, 0.9 * float(covered[number].max()))] = 0
    if not any(names):
        return None
    cells = np.where(covered.max(0) > 0, covered.argmax(0), 0).astype(np.uint8)
    row = encode(encoder, image)
    return {
        "features": row["features"], "eighth": row["eighth"], "cells": cells, "boxes": boxes,
        "names": np.array(names, "U40"),
    }  # fmt: skip


def _crop(index: U8, rng: np.random.Generator) -> tuple[int, int, int]:
    """Top, left and side of a square crop that often holds all products."""
    full = len(index)
    if rng.random() < 0.3 or not index.any():
        return 0, 0, full
    x0, y0, x1, y1 = _box(index > 0)
    side = int(min(full, max(x1 - x0, y1 - y0) * rng.uniform(0.85, 1.6)))
    left = int(np.clip((x0 + x1 - side) / 2 + rng.normal(0, 0.08) * side, 0, full - side))
    top = int(np.clip((y0 + y1 - side) / 2 + rng.normal(0, 0.08) * side, 0, full - side))
    return top, left, side


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def geometry_rows(picture: Labelled, encoder: SamEncoder, rng: np.random.Generator | None = None) -> list[Row]:
    """The geometry's columns of each large product that the frame does not cut. `rng`: degrade the picture."""
    found = []
    image = picture.image
    if rng is not None:
        image = degrade(rng, image.astype(np.float32) / np.float32(255))
    for number in range(1, len(picture.names) + 1):
        mask = picture.index == number
        framed_by = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        if int(mask.sum()) < WHOLE_PX or framed_by:
            continue
        x0, y0, x1, y1 = _box(mask)
        inside = np.s_[y0:y1, x0:x1]
        alpha = (mask[inside] * 255).astype(np.uint8)
        photo, square = framed(Cutout(np.dstack([image[inside], alpha])))
        row = encode(encoder, photo.pixels)
        normals, depth = labels(picture, number)
        edge = (photo.width - max(x1 - x0, y1 - y0)) // 2
        placed = np.zeros((photo.width, photo.width, 4), np.float32)
        placed[edge : edge + y1 - y0, edge : edge + x1 - x0] = np.dstack([normals, depth])[inside]
        small = cv2.resize(placed, (MAP, MAP), interpolation=cv2.INTER_NEAREST)
        found.append(
            {
                "cut_features": row["features"], "cut_quarter": row["quarter"], "cut_eighth": row["eighth"],
                "cut_outline": outline(square, MAP).astype(np.float16),
                "cut_normals": np.round(small[..., :3] * 127).astype(np.int8),
                "cut_depth": small[..., 3].astype(np.float16),
            }
        )  # fmt: skip
    return found


def labels(picture: Labelled, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The true normals (SxSx3, length 1) and depth (SxS, 0..1, near = 1) of a product; 0 outside it."""
    mask = picture.index == number
    normals = np.where(mask[..., None], picture.normals.astype(np.float32) / 127, 0)
    away = picture.depth.astype(np.float32)
    far, near = np.percentile(away[mask], (99, 1))
    depth = np.clip((far - away) / max(float(far - near), 1e-4), 0, 1)
    return normals.astype(np.float32), np.where(mask, depth, 0).astype(np.float32)


class Rows:
    """The rows of all shards in `folder` and its folders, for some columns; `refresh` reads the shards that came since.

    Raises FileNotFoundError when there is none.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._folder, self._columns = folder, tuple(columns)
        self._read: dict[Path, Row] = {}
        self._places: list[tuple[Row, int]] = []
        self.refresh()
        if not self._places:
            raise FileNotFoundError(f"{folder} must hold features, got none; run `python -m training.mini features`")

    def refresh(self) -> None:
        """Read new shards."""
        for path in sorted(self._folder.rglob("*.npz")):
            if path not in self._read:
                with np.load(path) as shard:
                    row = {name: shard[name] for name in self._columns if name in shard.files}
                self._read[path] = row
                if row:
                    times = 2 if path.name.startswith("traced") else 1  # they look like photos
                    self._places += [(row, at) for at in range(len(row[self._columns[0]]))] * times

    def __len__(self) -> int:
        return len(self._places)

    def draw(self, rng: np.random.Generator, count: int) -> Row:
        """`count` random rows, stacked."""
        chosen = [self._places[int(at)] for at in rng.integers(0, len(self._places), count)]
        return {name: np.stack([row[name][at] for row, at in chosen]) for name in self._columns}
