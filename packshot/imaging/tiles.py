"""Work on a soft edge that costs what the edge is long, not what the picture is large.

A picture is cut into square tiles. Only the tiles that hold a wanted pixel are computed, a few of them at a time. They
are stacked into one tall strip, so that each filter is one call.
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
TILES_AT_ONCE = 16  # a strip and what is computed from it stay in a core's cache
REACH_PX = 4  # how far `nearby_colours` looks for a colour


def on_tiles(
    wanted: Bools, work: Callable[..., F32], *pictures: U8 | F32, halo: int, border: int = cv2.BORDER_REFLECT_101
) -> Iterator[tuple[Indices, F32]]:
    """`work` of the pictures at every `wanted` pixel: pairs of flat indices and what `work` found there.

    `work` gets one strip of tiles for each picture, and returns a strip of equal height and width. It may read `halo`
    px around a pixel. Beyond the pictures' own border it sees them mirrored, as OpenCV's `border` says.
    """
    height, width = wanted.shape
    rows, columns = -(-height // TILE_PX), -(-width // TILE_PX)
    bottom, right = rows * TILE_PX - height, columns * TILE_PX - width
    wanted = np.pad(wanted, ((0, bottom), (0, right)))
    grid = wanted.reshape(rows, TILE_PX, columns, TILE_PX)
    corners = np.argwhere(np.any(np.any(grid, axis=3), axis=1)) * TILE_PX
    padded = [cv2.copyMakeBorder(each, halo, halo + bottom, halo, halo + right, border) for each in pictures]
    side = TILE_PX + 2 * halo
    for start in range(0, len(corners), TILES_AT_ONCE):
        some = corners[start : start + TILES_AT_ONCE]
        strip = work(*(np.concatenate([each[y : y + side, x : x + side] for y, x in some]) for each in padded))
        tiles = strip.reshape(len(some), side, *strip.shape[1:])[:, halo:-halo, halo:-halo]
        here = np.stack([wanted[y : y + TILE_PX, x : x + TILE_PX] for y, x in some])
        tile, down, across = np.nonzero(here)
        yield (some[tile, 0] + down) * width + some[tile, 1] + across, tiles[here]


def nearby_colours(rgb: U8, source: Bools, wanted: Bools) -> Iterator[tuple[Indices, F32]]:
    """What colour the `source` pixels around each `wanted` pixel have, the nearer the heavier.

    `rgb`: HxWx3; `source`, `wanted`: HxW. Yields flat indices of wanted pixels and their colours, float32 Nx3. A wanted
    pixel without a source pixel within REACH_PX is left out.
    """
    side = 2 * REACH_PX + 1

    def blur(colours: U8, weights: U8) -> F32:
        weighted = cv2.merge([cv2.copyTo(colours, weights), weights]).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(weighted, (side, side), REACH_PX / 2), np.float32)

    for at, near in on_tiles(wanted, blur, rgb, source.view(np.uint8), halo=REACH_PX):
        found = near[:, 3] > 1e-3
        yield at[found], near[found, :3] / near[found, 3:]
