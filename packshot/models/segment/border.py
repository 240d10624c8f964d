"""Move a mask's border to the photo's edge, at the photo's resolution, at a cost that grows with the border's length.

A mask from a small picture knows the border to within a few photo pixels. Each level of the photo, coarse to fine,
looks only at these pixels. The band along the border is unrolled to a strip: one row for each border point, columns
from inside to outside along the normal.

    border ──points, normals──> strip (N, K, 3) ──colours inside, outside──> coverage (N, K) ──best cut──> offsets (N,)

Colours are learned along the border, so a product may have other colours at its other end. Where inside and outside
look alike the border stays. Borders are closed polygons in continuous coordinates (x, y), in which the first pixel
spans 0..1, and OpenCV traces them so that the product always lies on the same side.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import F32, U8

Polygon = NDArray[np.float32]
"""A closed border, float32 Nx2 (x, y)."""

DEPTH_PX = 4
"""The colours inside and outside are learned from this many pixels beyond the pixels in doubt."""
ALONG_PX = 6.0
"""Colours are averaged along the border with a Gaussian of this standard deviation, pixels."""
SMOOTH_PX = 1.5
"""The border's offsets are smoothed along the border with a Gaussian of this standard deviation, pixels."""
NOISE = 3.0
"""Standard deviation of a photo's noise, levels: a smaller difference of colours is not an edge."""
UNCLEAR = 4.0
"""Squared distance, in standard deviations, at which the colours of both sides decide with half of their weight."""
STAY = 0.02
"""The cost of moving the border by a pixel, in pixels of wrong coverage."""
SHARP = 0.5
"""The reward for a cut on a sharp edge, in pixels of wrong coverage."""
PAD_PX = 8
"""A border continues this far beyond the photo's frame, so that a product cut by the frame ends there squarely."""
SHIFT_BITS = 6
"""Binary digits of the fraction in OpenCV's polygons."""


def borders(mask: NDArray[np.bool_]) -> list[Polygon]:
    """The borders of a mask, bool hxw: those of pieces and of openings."""
    pad = PAD_PX
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    padded = cv2.copyMakeBorder(padded, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    found, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    traced = [contour[:, 0].astype(np.float32) - (PAD_PX + 0.5) for contour in found]  # centres of product pixels
    return [smooth + 0.5 * normals(smooth) for smooth in (_smoothed(_even(line), 1.0) for line in traced)]


def snapped(lines: Sequence[Polygon], picture: U8, reach_px: int, *, step_px: float = 1.0) -> list[Polygon]:
    """Borders moved by at most `reach_px` along their normals to the edges of `picture`, uint8 hxwx3 RGB.

    `lines` are in the picture's coordinates. The borders returned have a point every `step_px`.
    """
    even = [_even(line, step_px) for line in lines]
    inside = _filled(even, picture.shape[:2])
    return [_snapped(line, picture, inside, reach_px, step_px) if len(line) > 8 else line for line in even]


def scaled(lines: Sequence[Polygon], before: tuple[int, int], after: tuple[int, int]) -> list[Polygon]:
    """Borders of a picture of size `before` (H, W) in a picture of size `after`."""
    factor = np.array([after[1] / before[1], after[0] / before[0]], np.float32)
    return [line * factor for line in lines]


def filled(lines: Sequence[Polygon], size: tuple[int, int]) -> U8:
    """The mask with these borders, uint8 HxW of 0 and 255, of a picture of `size` (H, W)."""
    return _filled([line - 0.5 * normals(line) for line in lines], size) * np.uint8(255)


def _filled(lines: Sequence[Polygon], size: tuple[int, ...]) -> U8:
    """uint8 HxW of 0 and 1. OpenCV also fills the pixels that a border runs through, half a pixel too many."""
    mask = np.zeros(size[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint((line - 0.5) * (1 << SHIFT_BITS)).astype(np.int32) for line in lines], 1, 8, SHIFT_BITS)
    return mask


def _even(line: Polygon, step_px: float = 1.0) -> Polygon:
    """The same border with points `step_px` pixels apart."""
    closed = np.concatenate([line, line[:1]])
    at = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    wanted = np.linspace(0, at[-1], max(4, round(at[-1] / step_px)), endpoint=False)
    return np.stack([np.interp(wanted, at, axis) for axis in closed.T], axis=1).astype(np.float32)


def _smoothed(rows: F32, sigma: float) -> F32:
    """Values of border points, float32 NxK, averaged along the closed border."""
    around = min(len(rows), int(4 * sigma) + 1)
    wrapped = np.concatenate([rows[-around:], rows, rows[:around]])
    blurred = cv2.GaussianBlur(wrapped, (1, 2 * around + 1), sigmaX=0.1, sigmaY=sigma)
    return np.asarray(blurred[around:-around], np.float32)


def normals(line: Polygon, smooth: float = 0.0) -> F32:
    """The unit normals of a border's points, outwards, float32 Nx2, of the border smoothed by `smooth` points."""
    if smooth:
        line = _smoothed(line, smooth)
    along = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    return np.asarray(across / np.maximum(np.hypot(*across.T), 1e-6)[:, None], np.float32)


def _snapped(line: Polygon, picture: U8, inside: U8, reach: int, step_px: float) -> Polygon:
    smooth = SMOOTH_PX / step_px
    outwards = normals(line, smooth)
    half = reach + DEPTH_PX
    offsets = np.arange(-half, half, dtype=np.float32) + 0.5
    at = line[:, None] + offsets[:, None] * outwards[:, None] - 0.5  # (N, K, 2) in OpenCV's coordinates
    strip = cv2.remap(picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    member = cv2.remap(inside, at, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE) > 0
    coverage = _coverage(strip, _witnesses(member, half, reach), half, ALONG_PX / step_px)
    # the pixels of wrong coverage when the border is cut before column k
    cost = np.zeros((len(line), 2 * half + 1), np.float32)
    np.cumsum(1 - 2 * coverage, axis=1, out=cost[:, 1:])
    cost[:, 1:-1] -= SHARP * (coverage[:, :-1] - coverage[:, 1:])
    cost += STAY * np.abs(np.arange(-half, half + 1, dtype=np.float32))
    cut = _smoothed(cost, smooth)[:, half - reach : half + reach + 1].argmin(1) + half - reach
    # the exact place: the covered part of the two pixels on either side of the cut
    near = np.take_along_axis(coverage, cut[:, None] + np.arange(-2, 2), axis=1)
    moved = _smoothed((cut - half - 2 + near.sum(1))[:, None].astype(np.float32), smooth)
    return _without_loops(line + moved * outwards, line)


def _witnesses(member: NDArray[np.bool_], half: int, reach: int) -> F32:
    """How far each sample is a witness of the colour of its own side of the border, float32 NxK.

    It grows with the distance from the border. It is 0 for samples beyond the middle of a strap or of a gap: they
    belong to the border on the other side. `member` is whether a sample is product, bool NxK.
    """
    weights = np.zeros(member.shape, np.float32)
    columns = np.arange(half)
    ramp = np.minimum(columns + 0.5, reach + 1).astype(np.float32) ** 2
    for own, inwards in ((member, np.s_[:, half - 1 :: -1]), (~member, np.s_[:, half:])):
        stranger = ~own[inwards]
        stranger[:, 0] = False
        run = np.where(stranger.any(1), stranger.argmax(1), 2 * half)
        weights[inwards] = ramp * (columns < (run[:, None] + 1) // 2)
    return weights


def _coverage(strip: U8, weights: F32, half: int, along: float) -> F32:
    """The share 0..1 of the product in each sample, float32 NxK; 0.5 = unknown.

    It is the sample's place on the line from the colour outside to the colour inside.
    """
    planes = [plane.astype(np.float32) for plane in cv2.split(strip)]
    moments = []
    for side in (np.s_[:, :half], np.s_[:, half:]):
        weight = weights[side]
        sums = [weight.sum(1)]
        for plane in planes:
            weighted = plane[side] * weight
            sums += [weighted.sum(1), np.einsum("nk,nk->n", weighted, plane[side])]
        moments.append(_smoothed(np.stack(sums, axis=1), along))
    means = [m[:, 1::2] / np.maximum(m[:, :1], 1e-6) for m in moments]
    product, backdrop = means
    spread = sum(m[:, 2::2] / np.maximum(m[:, :1], 1e-6) - mean**2 for m, mean in zip(moments, means, strict=True))
    axis = (product - backdrop) / (np.maximum(spread, 0) / 2 + NOISE**2)  # the direction that separates the two best
    length = np.maximum((axis * (product - backdrop)).sum(1), 1e-6)  # squared distance in standard deviations
    axis /= length[:, None]
    share = sum(plane * axis[:, k, None] for k, plane in enumerate(planes)) - (backdrop * axis).sum(1)[:, None]
    trust = (weights > 0) * (length / (length + UNCLEAR))[:, None]
    return np.asarray(0.5 + trust * (np.clip(share, 0, 1) - 0.5), np.float32)


def _without_loops(line: Polygon, before: Polygon) -> Polygon:
    """The border without points at which it turned back on itself, as at a corner that moved inwards."""
    forward = np.roll(before, -1, axis=0) - np.roll(before, 1, axis=0)
    step = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0)
    kept = (step * forward).sum(1) > 0
    return line[kept] if np.count_nonzero(kept) >= 4 else before
