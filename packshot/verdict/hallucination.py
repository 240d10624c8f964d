"""Whether an engine painted something that looks like the product: grown on it, or standing beside it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.contract.verdict import Finding
from packshot.types import F32
from packshot.verdict.colours import apart, slopes
from packshot.verdict.expansion import grown
from packshot.verdict.seen import Seen, share_box

__all__ = ["hallucination_finding"]

MAX_GROWN = 0.03
"""Share of the product's area that the scene may go on with."""
COLOURS = 5
"""Colours by which a product is looked for."""
NEAR_LEVELS = 11.0
"""Difference of two colours in CIE L*a*b* up to which one counts as the other."""
APART_LEVELS = 14.0
"""Difference of a pixel's colour from the usual one of its row from which it is not simply the scene's."""
SHADOW_LEVELS = 8.0
"""Difference of the colours without their lightness up to which a darker pixel may be the same ground in a shadow."""
SHADOW_RISE = 0.45
"""How far above the base a shadow on the ground reaches, as a share of the product's height."""
EDGE_PX = 4
"""Pixels around the product that mix it with the scene, or are grown on it."""
LEAST_SHARE, MOST_SHARE = 0.06, 1.6
"""Size of a second product, as a share of the first one's area."""
MIN_COMPACT = 0.55
"""The least share of its convex hull that a product fills."""
MIN_OF_COLOURS = 0.45
"""How much of the product's colours, by their shares, a second one has."""
CRISP_LEVELS = 8.0
"""Difference of the colours two pixels apart from which an edge is a product's, and not a soft shadow's."""


def hallucination_finding(seen: Seen) -> Finding:
    """Look for painted parts of the product that are not the product's.

    It fails when the scene goes on with the product over more than 3 % of its area, or when a compact thing of its
    colours stands beside it. The value is the area as a share of the product's.
    """
    area = int(np.count_nonzero(seen.product))
    strange = _strange(seen)
    grows = grown(seen.product, seen.rgb, seen.scene) & strange
    share = int(np.count_nonzero(grows)) / area
    if share > MAX_GROWN:
        detail = f"the scene goes on with the product over {share:.0%} of the product's area; use another seed"
        return Finding("hallucination", "failed", detail, round(share, 4), _box(grows, seen.size))
    second = _second(seen, area, strange)
    if second is not None:
        share = int(np.count_nonzero(second)) / area
        detail = f"something of the product's colours, {share:.0%} of its size, stands beside it; use another seed"
        return Finding("hallucination", "failed", detail, round(share, 4), _box(second, seen.size))
    return Finding("hallucination", "ok", "nothing that looks like the product is painted beside it", round(share, 4))


def _box(where: NDArray[np.bool_], size: tuple[int, int]) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    return share_box((float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1), size)


def _second(seen: Seen, area: int, strange: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest piece of the scene that could be another product; None without one."""
    palette, shares = _palette(seen.rgb[cv2.erode(seen.product.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0])
    if not len(palette):
        return None
    beside = seen.distance > EDGE_PX
    gaps = np.stack([apart(seen.scene, colour) for colour in palette])
    nearest = gaps.argmin(axis=0)
    alike = (gaps.min(axis=0) <= NEAR_LEVELS) & beside & strange
    closed = cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    closed = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) & beside.astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    for label in sorted(range(1, count), key=lambda one: -int(stats[one, cv2.CC_STAT_AREA])):
        covered = int(stats[label, cv2.CC_STAT_AREA])
        if covered < LEAST_SHARE * area:
            return None
        piece = labels == label
        if covered > MOST_SHARE * area or _leaves(stats[label], seen.size) or not _compact(piece, covered):
            continue
        of_piece = np.bincount(nearest[piece & alike], minlength=len(palette))
        held = of_piece / max(1, int(of_piece.sum()))
        if float(np.minimum(held, shares).sum()) < MIN_OF_COLOURS:
            continue
        around = (cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~piece & beside
        if around.any() and float(np.median(slopes(seen.scene)[around])) >= CRISP_LEVELS:
            return np.asarray(piece, np.bool_)
    return None


def _palette(colours: F32) -> tuple[F32, F32]:
    """The product's colours, float32 nx3, and their shares of it. Colours that are rare are left out."""
    if len(colours) < 4 * COLOURS:
        return np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    sample = np.ascontiguousarray(colours[:: max(1, len(colours) // 1500)])
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 12, 0.5)
    _, labels, centres = cv2.kmeans(sample, COLOURS, np.empty(0, np.int32), criteria, 1, cv2.KMEANS_PP_CENTERS)
    shares = (np.bincount(labels.ravel(), minlength=COLOURS) / len(sample)).astype(np.float32)
    common = shares >= 0.05
    return np.asarray(centres[common], np.float32), shares[common]


def _strange(seen: Seen) -> NDArray[np.bool_]:
    """The scene's pixels that are neither what their row usually shows, nor this in the product's shadow, bool hxw."""
    usual = _usual(seen.scene, seen.distance > EDGE_PX)
    unusual = apart(seen.scene, usual) >= APART_LEVELS
    light = np.clip(seen.scene[..., 0] / np.maximum(usual[..., 0], 1.0), 0.0, 1.0).astype(np.float32)
    tinted = apart(seen.scene[..., 1:], usual[..., 1:] * light[..., None])
    low = np.arange(seen.size[1])[:, None] > seen.box[3] - SHADOW_RISE * (seen.box[3] - seen.box[1])
    shaded = (light < 1) & (tinted <= SHADOW_LEVELS) & low
    return np.asarray(unusual & ~shaded & ~seen.product, np.bool_)


def _usual(scene: F32, beside: NDArray[np.bool_]) -> F32:
    """The usual colour of each row of the scene, float32 hx1x3: the median of what is beside the product.

    Every other column is read. A row that shows only the product has no usual colour, and counts as black.
    """
    free = beside[:, ::2]
    counts = free.sum(axis=1)
    ordered = np.sort(np.where(free[..., None], scene[:, ::2], np.inf), axis=1)  # what is not free comes last
    middle = ordered[np.arange(len(ordered)), np.maximum(counts - 1, 0) // 2]
    return np.asarray(np.where(counts[:, None] > 0, middle, 0.0), np.float32)[:, None]


def _leaves(stats: NDArray[np.int32], size: tuple[int, int]) -> bool:
    """Whether a piece spans most of the picture, as a wall or a table does."""
    return bool(stats[cv2.CC_STAT_WIDTH] > 0.6 * size[0] or stats[cv2.CC_STAT_HEIGHT] > 0.8 * size[1])


def _compact(piece: NDArray[np.bool_], covered: int) -> bool:
    points = cv2.findNonZero(piece.astype(np.uint8))
    return covered >= MIN_COMPACT * max(1.0, cv2.contourArea(cv2.convexHull(points)))
