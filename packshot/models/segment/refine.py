"""Lay a coarse mask on the photo's edges: GrabCut around its border, on a thumbnail.

A small network knows where the product is, but draws its border on a grid of several photo pixels. GrabCut learns the
colours inside and outside and moves the border to where they part, only within the band in which the network was unsure
or its grid coarse. What it must not do is guarded: the band limits how far the border moves, and a border that lies on
weaker edges than the network's own, or strays far from it, is dropped.
Packs switch it on (`refine: grabcut` in the segmenter's config).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import F32, U8, BoxXYXY

Box = tuple[float, float, float, float]
"""XYXY in photo pixels, as a person draws it."""

SURE = 0.7
"""Probability from which a pixel far inside (or 1 - it far outside) is taken for sure."""
BAND = 0.03
"""Half the band's width around the border, as a share of the mask's extent: at least 3 px."""
ROUNDS = 1
HOLE = 0.01
"""Holes below this share of the mask's area are noise, not a handle's opening."""
HALF_BELIEVED = 0.3
"""So are larger ones in which the network's mean probability is above this."""
CRUMB = 0.1
"""A product is one piece, or a few of like size: smaller pieces than this share of the largest are dropped."""
TRUST_IOU = 0.75
FULL_SUPPORT = 0.6
"""Border steepness of a sound mask (0.60-0.67 on the coffee photo, 0.2-0.5 for masks that leak)."""
SAMPLE = 800
"""Pixels a side from which the colours are first learned."""
SLACK = 0.02
"""How far, as a share of its sides, a product may reach over the box that a person drew around it."""
WORK_PX = 192
"""GrabCut's time grows with the pixels: the crop around the mask is worked on at this longest side at most."""


def refine(thumbnail: U8, probability: F32, photo: tuple[int, int]) -> U8:
    """A mask of the photo, uint8 HxW of 0 and 255. `thumbnail` hxwx3 RGB, `probability` hxw in 0..1, `photo` (H, W)."""
    height, width = probability.shape
    coarse = probability > 0.5
    soft = probability
    if coarse.any() and not coarse.all():
        y0, y1, x0, x1 = _surroundings(coarse)
        crop = soft[y0:y1, x0:x1].copy()
        crop[:] = _on_edges(np.ascontiguousarray(thumbnail[y0:y1, x0:x1]), crop)
        soft = np.zeros((height, width), np.float32)
        soft[y0:y1, x0:x1] = crop
    enlarged = cv2.resize(soft.astype(np.float32), (photo[1], photo[0]), interpolation=cv2.INTER_LINEAR)
    return np.where(enlarged > 0.5, np.uint8(255), np.uint8(0))


def within_box(probability: F32, box: Box, photo: tuple[int, int]) -> F32:
    """Nothing outside the box (XYXY, photo pixels, a little slack: people draw by hand). `probability` hxw,
    `photo` (H, W)."""
    height, width = probability.shape
    slack_x, slack_y = SLACK * (box[2] - box[0]), SLACK * (box[3] - box[1])
    across, down = width / photo[1], height / photo[0]
    x0, x1 = (min(width, max(0, round(x * across))) for x in (box[0] - slack_x, box[2] + slack_x))
    y0, y1 = (min(height, max(0, round(y * down))) for y in (box[1] - slack_y, box[3] + slack_y))
    kept = np.zeros_like(probability)
    kept[y0:y1, x0:x1] = probability[y0:y1, x0:x1]
    return kept


def box_fit(found: BoxXYXY, drawn: Box) -> float:
    """How well a mask's own box fills the box that was drawn: their intersection over union."""
    width = max(0.0, min(found[2], drawn[2]) - max(found[0], drawn[0]))
    height = max(0.0, min(found[3], drawn[3]) - max(found[1], drawn[1]))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (found, drawn)]
    return width * height / (sum(areas) - width * height)


def _surroundings(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1): the mask's box with a margin in which GrabCut learns what the background looks like."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    margin = max(12, int(0.15 * max(np.ptp(rows), np.ptp(columns))))
    height, width = mask.shape
    return (
        max(0, int(rows[0]) - margin),
        min(height, int(rows[-1]) + 1 + margin),
        max(0, int(columns[0]) - margin),
        min(width, int(columns[-1]) + 1 + margin),
    )


def _on_edges(picture: U8, probability: F32) -> F32:
    """The refined mask as a soft picture (0..1, 0.5 = border) of the crop's size."""
    height, width = probability.shape
    scale = min(1.0, WORK_PX / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    chance = cv2.resize(probability, size, interpolation=cv2.INTER_AREA)
    coarse = (chance > 0.5).astype(np.uint8)
    band = max(3, round(BAND * max(size)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    trimap = np.where(coarse > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[(cv2.erode(coarse, kernel) > 0) & (chance > SURE)] = cv2.GC_FGD
    trimap[(cv2.dilate(coarse, kernel) == 0) & (chance < 1 - SURE)] = cv2.GC_BGD
    trimap[chance == 0] = cv2.GC_BGD  # a box ruled it out
    if not (np.any(trimap == cv2.GC_FGD) and np.any(trimap == cv2.GC_BGD)):
        return probability
    background, product = _colours(small[coarse == 0]), _colours(small[coarse > 0])
    cv2.grabCut(small, trimap, (0, 0, 1, 1), background, product, ROUNDS, cv2.GC_EVAL)
    fine = _tidy(((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)).astype(np.uint8), chance)
    both, either = np.count_nonzero(fine & coarse), np.count_nonzero(fine | coarse)
    steepness = edge_steepness(small)
    if both < TRUST_IOU * either or _along_border(steepness, fine) <= _along_border(steepness, coarse):
        fine = _tidy(coarse, chance)
    smooth = cv2.GaussianBlur(fine.astype(np.float32), (0, 0), 1.0)  # no stairs when it is enlarged
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _colours(pixels: U8) -> NDArray[np.float64]:
    """A first mixture of five Gaussians over Nx3 colours, in GrabCut's layout: 5 weights, 5 means, 5 covariances.

    GrabCut's own start clusters every pixel, which costs more than its cut; a sample tells as much.
    """
    sample = pixels[:: max(1, len(pixels) // SAMPLE)].astype(np.float32)
    count = min(5, len(sample))
    cv2.setRNGSeed(0)  # the same click must give the same mask
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 6, 0.0)
    _, labels, _ = cv2.kmeans(sample, count, np.empty((len(sample), 1), np.int32), stop, 1, cv2.KMEANS_PP_CENTERS)
    model = np.zeros((1, 65))
    for index in range(count):
        own = sample[labels[:, 0] == index]
        if len(own):
            covariance = np.cov(own.T, bias=True) if len(own) > 1 else np.zeros((3, 3))
            model[0, index] = len(own) / len(sample)
            model[0, 5 + 3 * index : 8 + 3 * index] = own.mean(0)
            model[0, 20 + 9 * index : 29 + 9 * index] = (covariance + 2.0 * np.eye(3)).ravel()
    return model


def edge_support(steepness: F32, mask: U8) -> float:
    """0..1: how steep the photo is along the mask's border; 1 = FULL_SUPPORT of the steepest hundredth of the photo.

    `steepness` hxw of the thumbnail; `mask` photo-sized, 0 or 255.
    """
    height, width = steepness.shape
    small = (cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0).astype(np.uint8)
    steepest = float(np.percentile(steepness[::2, ::2], 99))  # a quarter of the pixels tells as much
    return min(1.0, _along_border(steepness, small) / max(1e-6, FULL_SUPPORT * steepest))


def edge_steepness(picture: U8) -> F32:
    """How fast the colour changes at each pixel (hxw), in the channel that changes most."""
    soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
    across, down = (cv2.Sobel(soft, cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))
    red, green, blue = cv2.split(cv2.magnitude(across, down))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def _along_border(steepness: F32, mask: U8) -> float:
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return float(steepness[border].mean()) if border.any() else 0.0


def _tidy(mask: U8, chance: F32) -> U8:
    """Fill holes that are small or that the network half believed in, drop crumbs: uint8 of 0 and 1."""
    area = np.count_nonzero(mask)
    count, holes, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    sizes = stats[:, cv2.CC_STAT_AREA]
    belief = np.bincount(holes.ravel(), chance.ravel(), count) / np.maximum(sizes, 1)
    framed = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))  # open to the outside
    fill = (sizes < HOLE * area) | (belief > HALF_BELIEVED)
    fill[framed] = sizes[framed] < HOLE * area
    fill[0] = False  # label 0 is the mask itself
    mask = np.where(fill[holes], 1, mask).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    sizes = stats[:, cv2.CC_STAT_AREA]
    drop = sizes < CRUMB * (sizes[1:].max() if count > 1 else 0)
    drop[0] = False
    return np.where(drop[pieces], 0, mask).astype(np.uint8)
