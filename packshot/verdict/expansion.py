"""Whether an engine painted the product larger than it is: an engine without edge control may go on with its parts.

The picture has the photo's pixels inside the product's outline, so an expansion is scene that looks like product and
touches it: a longer bottle, a second handle. It is found in the render by colour, from the outline outwards.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.contract.verdict import Finding
from packshot.types import F32, U8, Flat
from packshot.verdict.colours import apart, lab, slopes

__all__ = ["MAX_EXPANSION", "expansion_finding", "grown"]

MAX_EXPANSION = 0.08
"""Share of the product's area from which scene that goes on with it fails the picture."""

SEEN_PX = 384
"""Longer side at which the picture is measured, pixels."""
NEAR_LEVELS = 14.0
"""Distance of two colours in CIE L*a*b* (OpenCV's float scale) up to which one goes on with the other."""
REACH = 0.35
"""How far from the outline an expansion is looked for, as a share of the product's longer side. What reaches farther is
a scene of the product's colour, in which nothing can be measured."""
CRISP_LEVELS = 10.0
"""Difference of the colours two pixels apart from which an edge is crisp: a product's, and not a soft shadow's."""
EDGE_PX = 3
"""Pixels on both sides of the outline that mix the two."""


def expansion_finding(flat: Flat, scene: U8) -> Finding:
    """Measure how much of the scene goes on with the product, as a share of the product's area.

    `scene` is the painted scene at the canvas's size, uint8 HxWx3 RGB, before the product is put in. The finding is
    failed above MAX_EXPANSION.
    """
    height, width = flat.alpha.shape
    scale = min(1.0, SEEN_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    product = cv2.resize(flat.alpha, size, interpolation=cv2.INTER_AREA) >= 128
    area = int(np.count_nonzero(product))
    if area == 0:
        return Finding("expansion", "ok", "there is no product that could be painted larger", 0.0)
    colours = lab(cv2.resize(flat.rgb, size, interpolation=cv2.INTER_AREA))
    painted = lab(cv2.resize(scene, size, interpolation=cv2.INTER_AREA))
    share = int(np.count_nonzero(grown(product, colours, painted))) / area
    if share > MAX_EXPANSION:
        detail = f"the scene goes on with the product over {share:.0%} of the product's area; use another seed or words"
        return Finding("expansion", "failed", detail, share)
    return Finding("expansion", "ok", f"the scene goes on with the product over {share:.1%} of its area", share)


def grown(product: NDArray[np.bool_], colours: F32, painted: F32) -> NDArray[np.bool_]:
    """The scene's pixels that go on with the product, bool hxw.

    `product` is bool hxw, not empty. `colours` and `painted` are the product's and the scene's, float32 hxwx3 in CIE
    L*a*b*.
    """
    rows, columns = np.flatnonzero(product.any(axis=1)), np.flatnonzero(product.any(axis=0))
    reach_px = max(4 * EDGE_PX, round(REACH * max(np.ptp(rows) + 1, np.ptp(columns) + 1)))
    return _expanded(_going_on(product, colours, painted), _distance(product), reach_px, painted)


def _distance(product: NDArray[np.bool_]) -> F32:
    """The distance of each pixel from the product, in pixels."""
    return np.asarray(cv2.distanceTransform((~product).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _going_on(product: NDArray[np.bool_], colours: F32, painted: F32) -> NDArray[np.bool_]:
    """The scene's pixels that have the colour of the nearest pixel of the product that its outline does not mix."""
    inner = cv2.erode(product.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=EDGE_PX) > 0
    inner = inner if inner.any() else product
    _, labels = cv2.distanceTransformWithLabels(
        (~inner).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.zeros(int(labels.max()) + 1, np.int64)
    places[labels[inner]] = np.flatnonzero(inner)
    nearest = colours.reshape(-1, 3)[places[labels]]
    return np.asarray((apart(painted, nearest) <= NEAR_LEVELS) & ~product, np.bool_)


def _expanded(alike: NDArray[np.bool_], distance: F32, reach_px: int, painted: F32) -> NDArray[np.bool_]:
    """The pixels of all pieces that begin at the outline, end within reach, and have a crisp edge there."""
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    steps = slopes(painted)
    found = np.zeros(alike.shape, np.bool_)
    for label in np.unique(labels[alike & (distance <= EDGE_PX + 1)]):
        piece = labels == label
        beyond = piece & (distance > EDGE_PX)
        if not beyond.any() or distance[piece].max() > reach_px:
            continue
        around = (cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~piece & (distance > EDGE_PX)
        if around.any() and float(np.median(steps[around])) >= CRISP_LEVELS:
            found |= beyond
    return found
