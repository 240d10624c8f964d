"""The alpha of a product along the border of its mask.

    mask ──certain──> product, backdrop ──(all other pixels are the band)──> solve ──> alpha

`matte_by_network` asks the matting network of a pack that has one. `matte` solves in closed form (Levin, Lischinski,
Weiss 2008): in each window of 3x3 pixels, alpha is taken to be a linear function of the colour. With the pixels that
are certainly product or backdrop given, this is a sparse linear system, whose unknowns are the pixels of the band
alone. So the time grows with the length of the border. Long borders are solved in tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.imaging.tiles import Bools
from packshot.types import F32, U8

__all__ = [
    "CONTEXT_PX",
    "ROUGH_TOLERANCE",
    "MattingNetwork",
    "SolverFailed",
    "certain",
    "corrected",
    "disk",
    "matte",
    "matte_by_network",
]

F64 = NDArray[np.float64]

EPSILON = 1e-7
"""Regularises the covariance of a window's colours (0..1). It lets alpha follow edges of about half a level."""
LOW, HIGH = 0.1, 0.9
"""The solution never quite reaches 0 and 1. These values of it are stretched to 0 and 1 (docs/measurements.md)."""
OPAQUE, CLEAR = 250, 5
"""Alphas from OPAQUE on become 255, and alphas up to CLEAR become 0."""
FRAYED, FRAY_PX = (12.0, 24.0), 11
"""Mean differences (0..255) at which an edge begins to count as frayed, and counts in full; the windows' side."""
TILE_PX = 512
"""Side of the square in which one system is solved."""
TOLERANCE, MAX_ITERATIONS = 1e-3, 400
"""Relative residual at which the solver stops (1e-5 gives the same cutouts), and the iterations it may take."""
MAX_BAND_PX = 1_500_000
"""A band with more pixels is not solved. That is a border of 60,000 px in a photo of 12 megapixels."""
ROUGH_TOLERANCE = 2e-3
"""The residual that corrects a mask. With 1e-2 the solver still holds to the mask from which it starts."""
WRONG, RIGHT = 26, 229
"""A mask is wrong where it holds pixels with at most this alpha, or lacks pixels with at least that one."""
CORE_PX, CONTEXT_PX = 384, 64
"""A network sees a square of CORE_PX with CONTEXT_PX around it: 512 px, the size at which ViTMatte was trained."""
MAX_TILES = 24
"""A border that crosses more tiles is left to the closed form. A tile takes 1.9 core-seconds (ViTMatte-small, fp32)."""

_WINDOW = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
_REACH = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]  # the pixels that share a window with a pixel


class SolverFailed(ArithmeticError):
    """Raised when the band is too large or there is no solution. Use the next simpler method then.

    The closed form is simpler than a network, and the guided filter is simpler than the closed form.
    """


class MattingNetwork(Protocol):
    """A network that finds alpha from a trimap. `packshot.models.matting.VitMatte` implements it."""

    def alpha(self, rgb: U8, trimap: U8) -> F32:
        """The alpha of a picture of any size, float32 HxW, 0..1.

        `rgb` is uint8 HxWx3. `trimap` is uint8 HxW: 255 = product, 0 = backdrop, 128 = unknown.
        """
        ...


def disk(radius_px: int) -> U8:
    """A disk as a kernel, uint8 of 0 and 1: the pixels at most `radius_px` from the middle one."""
    y, x = np.ogrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return np.asarray(x * x + y * y <= radius_px * radius_px, np.uint8)


def certain(side: U8, margin_px: int) -> Bools:
    """The pixels of one side of the border that are surely on this side, bool HxW.

    `side` is uint8 HxW of 0 and 1: the product, or the backdrop. Pixels deeper than `margin_px` are certain. Where the
    side is too thin to have such pixels (a strap, a slit), its middle line is certain. Beyond the picture there is no
    border.
    """
    deep = cv2.erode(side, disk(margin_px))
    near = 2 * (-(-3 * margin_px // 2) + 1) + 1  # corners are not thin: their tips lie this near to deep pixels
    thin = (side > 0) & (cv2.dilate(deep, np.ones((near, near), np.uint8)) == 0)
    if not thin.any():
        return np.asarray(deep > 0)
    depth = cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_5)
    middle = depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8))
    return np.asarray((deep > 0) | (thin & middle))


def corrected(hard: U8, alpha: U8, product: Bools, backdrop: Bools) -> U8:
    """The mask without what its alpha contradicts, uint8 HxW of 0 and 1.

    `hard` is the mask, uint8 HxW of 0 and 1. `alpha` was solved between `product` and `backdrop`. When the band between
    them is wide, the product's own shading passes for a soft edge. So it is solved again, near the border found here.
    """
    better = np.where(alpha <= WRONG, np.uint8(0), np.where(alpha >= RIGHT, np.uint8(1), hard))
    better = np.where(product, np.uint8(1), cv2.medianBlur(better, 3))
    return np.where(backdrop, np.uint8(0), better)


def matte(rgb: U8, hard: U8, product: Bools, backdrop: Bools, *, width_px: int, tolerance: float = TOLERANCE) -> U8:
    """The product's alpha, uint8 HxW: 255 in `product`, 0 in `backdrop`, and solved in the band between them.

    `rgb` is uint8 HxWx3. `hard` is the mask, uint8 HxW of 0 and 1; it starts the solver. `product` and `backdrop` are
    bool HxW. `width_px` is the width of the band, over which its pixels influence each other. `tolerance` is
    the relative residual at which the solver stops. Raises SolverFailed.
    """
    band = ~(product | backdrop)
    alpha = product.astype(np.uint8) * np.uint8(255)
    if int(np.count_nonzero(band)) > MAX_BAND_PX:
        raise SolverFailed(f"a band must have at most {MAX_BAND_PX} px, got {np.count_nonzero(band)}")
    if min(hard.shape) < 3:
        return np.where(band, hard * np.uint8(255), alpha)
    for own, wide, inner in _tiles(band, TILE_PX, 2 * width_px + 4):
        here = band[wide]
        solved = np.zeros(here.shape, np.uint8)
        solution = _solve(rgb[wide], hard[wide], product[wide], here, tolerance)
        solved[here] = _eight_bits((solution - LOW) / (HIGH - LOW))
        np.copyto(alpha[own], solved[inner], where=band[own])
    rough = alpha.copy()
    for own, wide, inner in _tiles(band, TILE_PX, FRAY_PX // 2 + 2):
        alpha[own] = _trimmed(rough[wide], band[wide])[inner]
    return alpha


def matte_by_network(rgb: U8, product: Bools, backdrop: Bools, network: MattingNetwork) -> U8:
    """The product's alpha as `matte` returns it, where the band is the network's.

    Only the tiles that hold a part of the band are computed. Raises SolverFailed when there are more than MAX_TILES, or
    when the network's alpha is not finite.
    """
    band = ~(product | backdrop)
    trimap = np.where(product, np.uint8(255), np.where(band, np.uint8(128), np.uint8(0)))
    alpha = product.astype(np.uint8) * np.uint8(255)
    tiles = list(_tiles(band, CORE_PX, CONTEXT_PX))
    if len(tiles) > MAX_TILES:
        raise SolverFailed(f"the border must cross at most {MAX_TILES} tiles, it crosses {len(tiles)}")
    for own, wide, inner in tiles:
        found = network.alpha(np.ascontiguousarray(rgb[wide]), np.ascontiguousarray(trimap[wide]))
        if not np.isfinite(found).all():
            raise SolverFailed("the network's alpha must be finite")
        np.copyto(alpha[own], _eight_bits(found[inner]), where=band[own])
    return alpha


Part = tuple[slice, slice]


def _tiles(band: Bools, side_px: int, halo: int) -> Iterator[tuple[Part, Part, Part]]:
    """The tiles that hold a pixel of the band: the tile, the tile with its halo, and the tile's place in the latter."""
    height, width = band.shape
    for top in range(0, height, side_px):
        for left in range(0, width, side_px):
            own = np.s_[top : min(height, top + side_px), left : min(width, left + side_px)]
            if band[own].any():
                y0, x0 = max(0, top - halo), max(0, left - halo)
                wide = np.s_[y0 : own[0].stop + halo, x0 : own[1].stop + halo]
                yield own, wide, np.s_[top - y0 : own[0].stop - y0, left - x0 : own[1].stop - x0]


def _trimmed(rough: U8, band: Bools) -> U8:
    """Alpha, smoothed where it is frayed, because the texture behind the product resembles the product.

    There, 3x3 medians replace it in part. An edge counts as frayed by its mean difference from the 5x5 medians.
    """
    rough = np.ascontiguousarray(rough)
    apart = cv2.absdiff(rough, cv2.medianBlur(rough, 5))
    edge = ((rough > 0) & (rough < 255) | (apart > 0)).view(np.uint8)
    total, count = (cv2.boxFilter(part, cv2.CV_32F, (FRAY_PX, FRAY_PX), normalize=False) for part in (apart, edge))
    at = np.flatnonzero(band & (edge > 0))
    share = np.clip((total.reshape(-1)[at] / count.reshape(-1)[at] - FRAYED[0]) / (FRAYED[1] - FRAYED[0]), 0, 1)
    old, median = (plane.reshape(-1)[at].astype(np.float32) for plane in (rough, cv2.medianBlur(rough, 3)))
    new = np.rint(old + share * (median - old))
    # A pixel that was not opaque may hold old background, so it does not become opaque.
    alpha = rough.copy()
    alpha.reshape(-1)[at] = np.where(old < 255, np.minimum(new, OPAQUE - 1), np.where(new >= OPAQUE, 255, new))
    return alpha


def _eight_bits(solution: F64 | F32) -> U8:
    """Alpha 0..1 in eight bits. Values near the ends become the ends."""
    alpha: U8 = np.rint(np.clip(solution, 0, 1) * 255).astype(np.uint8)
    alpha[alpha >= OPAQUE] = 255
    alpha[alpha <= CLEAR] = 0
    return alpha


def _solve(rgb: U8, hard: U8, product: Bools, band: Bools, tolerance: float) -> F64:
    """The solution at the band's pixels, in reading order. Raises SolverFailed when it does not converge."""
    from scipy.sparse import csr_array, diags_array
    from scipy.sparse.linalg import cg

    start = cv2.GaussianBlur(hard.astype(np.float32), (0, 0), 1.0)[band]
    # A border of 2 px without windows, so that every neighbour of a pixel exists.
    rgb = cv2.copyMakeBorder(rgb, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    product, band = np.pad(product, 2), np.pad(band, 2)
    number = np.full(band.size, -1, np.int32)
    unknown = np.flatnonzero(band)
    number[unknown] = np.arange(len(unknown), dtype=np.int32)
    weights = _laplacian(rgb, band, number, len(unknown))

    steps = np.array([y * band.shape[1] + x for y, x in _REACH])
    neighbours = unknown[:, None] + steps
    columns = number[neighbours]
    given = np.where((columns < 0) & product.reshape(-1)[neighbours], weights, 0)
    kept = (columns >= 0) & (weights != 0)
    ends = np.concatenate([[0], np.cumsum(np.count_nonzero(kept, axis=1))])
    system = csr_array((weights[kept], columns[kept], ends), shape=(len(unknown), len(unknown)))
    diagonal = np.maximum(weights[:, len(_REACH) // 2], 1e-12)
    solution, failed = cg(
        system,
        -given.sum(axis=1),
        x0=start.astype(np.float64),
        rtol=tolerance,
        maxiter=MAX_ITERATIONS,
        M=diags_array(1 / diagonal),
    )
    if failed or not np.isfinite(solution).all():
        raise SolverFailed(f"the solver must converge within {MAX_ITERATIONS} iterations on {len(unknown)} px")
    return np.asarray(solution, np.float64)


def _laplacian(rgb: U8, band: Bools, number: NDArray[np.int32], count: int) -> F64:
    """The rows of the matting Laplacian for the band's pixels, float64 `count` x 25.

    Column i belongs to the pixel at the offset _REACH[i]. `number` is each pixel's row, -1 outside the band. The
    pictures have a border of 2 px, in which no window lies.
    """
    width = band.shape[1]
    centred = cv2.dilate(band.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    centred[:3], centred[-3:], centred[:, :3], centred[:, -3:] = False, False, False, False
    centres = np.flatnonzero(centred)
    pixels = [centres + y * width + x for y, x in _WINDOW]
    rows = [number[at] for at in pixels]
    colours = [np.ascontiguousarray(rgb.reshape(-1, 3)[at].T, np.float64) / 255 for at in pixels]  # 9 x (3, windows)
    mean = sum(colours) / 9
    apart = [colour - mean for colour in colours]
    inverse = _inverse_covariance(apart)
    turned = [np.stack([sum(inverse[i][j] * d[j] for j in range(3)) for i in range(3)]) for d in apart]
    weights = np.zeros((len(_REACH), count + 1))  # the last column takes the rows outside the band
    for a, (ya, xa) in enumerate(_WINDOW):
        for b, (yb, xb) in enumerate(_WINDOW[a:], a):
            value = -(1 + np.einsum("cw,cw->w", apart[a], turned[b])) / 9
            if a == b:
                value += 1
            else:
                weights[_REACH.index((ya - yb, xa - xb)), rows[b]] += value
            weights[_REACH.index((yb - ya, xb - xa)), rows[a]] += value
    return np.ascontiguousarray(weights[:, :count].T)


def _inverse_covariance(apart: list[F64]) -> list[list[F64]]:
    """The inverse of each window's regularised 3x3 covariance, by cofactors. `apart` is 9 x (3, windows)."""
    (rr, rg, rb), (_, gg, gb), (_, _, bb) = (
        [sum(d[i] * d[j] for d in apart) / 9 + (EPSILON / 9 if i == j else 0) for j in range(3)] for i in range(3)
    )
    crr, crg, crb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    cgg, cgb, cbb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * crr + rg * crg + rb * crb
    return [[c / determinant for c in row] for row in ((crr, crg, crb), (crg, cgg, cgb), (crb, cgb, cbb))]
