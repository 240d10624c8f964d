"""Filter only the tiles of a picture that hold wanted pixels, so that the time grows with the length of the soft edge.

A picture is divided into square tiles. Only the tiles that hold a wanted pixel are computed, TILES_AT_ONCE at a time.
They are stacked into one tall strip, so that each filter is one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import F32, U8

__all__ = ["REACH_PX", "Bools", "nearby_colours", "on_tiles"]

Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

TILE_PX = 32
TILES_AT_ONCE = 16  # a strip and its intermediate results stay in a core's cache
REACH_PX = 4  # the radius in which `nearby_colours` averages source pixels, unless it is given another


def on_tiles(
    wanted: Bools, compute: Callable[..., F32], *pictures: U8 | F32, halo: int, border: int = cv2.BORDER_REFLECT_101
) -> Iterator[tuple[Indices, F32]]:
    """Compute a filter at every `wanted` pixel (bool HxW). Yields pairs of flat indices and the values there.

    `compute` gets one strip of tiles for each of the `pictures` (HxW or HxWxC), and returns a strip of the same height
    and width. A value may depend on pixels at most `halo` px away. The pictures are extended beyond their border as
    OpenCV's `border` states.
    """
    height, width = wanted.shape
    rows, columns = -(-height // TILE_PX), -(-width // TILE_PX)
    bottom, right = rows * TILE_PX - height, columns * TILE_PX - width
    wanted = np.pad(wanted, ((0, bottom), (0, right)))
    grid = wanted.reshape(rows, TILE_PX, columns, TILE_PX)
    corners = np.argwhere(np.any(np.any(grid, axis=3), axis=1)) * TILE_PX
    padded = [cv2.copyMakeBorder(picture, halo, halo + bottom, halo, halo + right, border) for picture in pictures]
    side = TILE_PX + 2 * halo
    for start in range(0, len(corners), TILES_AT_ONCE):
        chunk = corners[start : start + TILES_AT_ONCE]
        strips = (np.concatenate([picture[y : y + side, x : x + side] for y, x in chunk]) for picture in padded)
        strip = compute(*strips)
        tiles = strip.reshape(len(chunk), side, *strip.shape[1:])[:, halo:-halo, halo:-halo]
        wanted_here = np.stack([wanted[y : y + TILE_PX, x : x + TILE_PX] for y, x in chunk])
        tile, down, across = np.nonzero(wanted_here)
        yield (chunk[tile, 0] + down) * width + chunk[tile, 1] + across, tiles[wanted_here]


def nearby_colours(
    rgb: U8, source: Bools, wanted: Bools, *, reach_px: int = REACH_PX, sigma: float = REACH_PX / 2
) -> Iterator[tuple[Indices, F32]]:
    """The Gaussian-weighted mean colour of the `source` pixels around each `wanted` pixel.

    `rgb` is uint8 HxWx3; `source` and `wanted` are bool HxW. The Gaussian of `sigma` pixels ends at `reach_px`. Yields
    pairs of the flat indices of wanted pixels and their colours, float32 Nx3. A wanted pixel that has no source pixel
    within reach, or whose source pixels weigh less than 0.1 % together, is left out.
    """
    side = 2 * reach_px + 1

    def blur(colours: U8, weights: U8) -> F32:
        weighted = cv2.merge([cv2.copyTo(colours, weights), weights]).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(weighted, (side, side), sigma), np.float32)

    for at, near in on_tiles(wanted, blur, rgb, source.view(np.uint8), halo=reach_px):
        found = near[:, 3] > 1e-3
        yield at[found], near[found, :3] / near[found, 3:]
