"""Sheets to look at: pictures of shards side by side, and every label of a few of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.path_traced.shards import Picture, pictures

U8 = NDArray[np.uint8]


def contact_sheet(
    paths: Sequence[Path], out: Path, *, limit: int = 24, columns: int = 6, every: int = 1, captions: bool = True
) -> int:
    """A grid of pictures, each with its first caption and its object's name; gives how many. every: 1 = all, 2 = each
    second."""
    chosen = itertools.islice((picture for path in paths for picture in pictures(path)), 0, None, every)
    tiles = [_captioned(picture) if captions else _image(picture) for picture in itertools.islice(chosen, limit)]
    _write(_grid(tiles, columns), out)
    return len(tiles)


def label_sheet(paths: Sequence[Path], out: Path, *, limit: int = 8, every: int = 1) -> int:
    """A row per picture: image with the mask's outline, plate, alpha, objects and parts, depth, normals, shadow."""
    chosen = itertools.islice((picture for path in paths for picture in pictures(path)), 0, None, every)
    rows = [np.concatenate(_labels(picture), axis=1) for picture in itertools.islice(chosen, limit)]
    _write(np.concatenate(rows, axis=0), out)
    return len(rows)


def _image(picture: Picture) -> U8:
    return np.asarray(picture.arrays["image"], np.uint8)


def _captioned(picture: Picture) -> U8:
    image = _image(picture)
    strip = np.full((30, image.shape[1], 3), 255, np.uint8)
    light = picture.take.light
    said = f"{picture.view.main.object_id}: {picture.take.set.support}, {light.quality} {light.tint} {light.side}"
    for row, text in enumerate((picture.take.captions[0], said)):
        cv2.putText(strip, text[:70], (3, 11 + 13 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.29, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([image, strip], axis=0)


def _labels(picture: Picture) -> list[U8]:
    image, alpha = _image(picture), np.asarray(picture.arrays["alpha"], np.uint8)
    side = image.shape[0]
    outlined = image.copy()
    contours, _ = cv2.findContours((alpha >= 128).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outlined, contours, -1, (255, 0, 200), 1)
    index = np.asarray(picture.arrays["index"], np.int64) * 40 + np.asarray(picture.arrays["part"], np.int64) * 7
    depth = np.asarray(picture.arrays["depth"], np.float32)
    near = picture.view.camera.distance
    shown = np.clip(1 - (depth - near + 1) / 4, 0, 1)
    return [
        outlined,
        _sized(np.asarray(picture.arrays["plate"], np.uint8), side),
        _rgb(alpha),
        np.where(index[..., None] > 0, _colours()[index % 256], 0).astype(np.uint8),
        _rgb((shown * 255).astype(np.uint8)),
        ((np.asarray(picture.arrays["normals"], np.int16) + 127).clip(0, 255)).astype(np.uint8),
        _rgb(_sized(np.asarray(picture.arrays["shadow"], np.uint8), side)),
    ]


def _colours() -> U8:
    hues = (np.arange(256) * 47 % 180).astype(np.uint8)
    hsv = np.stack([hues, np.full(256, 190, np.uint8), np.full(256, 230, np.uint8)], axis=1)[None]
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0], np.uint8)


def _sized(picture: U8, side: int) -> U8:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def _rgb(grey: U8) -> U8:
    return np.repeat(grey[..., None], 3, axis=2)


def _grid(tiles: Sequence[U8], columns: int) -> U8:
    blank = np.full_like(tiles[0], 255)
    padded = [*tiles, *([blank] * (-len(tiles) % columns))]
    rows: Iterable[U8] = (
        np.concatenate(padded[start : start + columns], axis=1) for start in range(0, len(padded), columns)
    )
    return np.concatenate(list(rows), axis=0)


def _write(picture: U8, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), picture[..., ::-1])
