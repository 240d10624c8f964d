"""Move the border of a coarse mask to the photo's edges, with GrabCut on a thumbnail.

A small network finds the product, but each cell of its mask covers several photo pixels. GrabCut learns the colours
inside and outside of the mask, and moves the border to the edge between them. It changes only a band around the border
and pixels in which the network is unsure. The refined mask is discarded if its border lies on weaker edges than the
network's own, or if it differs too much from the network's mask. A pack enables this with `refine: grabcut` in the
segmenter's config.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.types import F32, U8, BoxXYXY

Box = tuple[float, float, float, float]
"""A box XYXY in photo pixels, as the user drew it."""

SURE = 0.7
"""Outside the band, GrabCut may not change pixels with at least this probability of product or of background."""
BAND = 0.03
"""Half of the band's width, as a share of the crop's longer side; at least 3 px."""
ROUNDS = 1
"""Iterations of GrabCut."""
HOLE = 0.01
"""Holes smaller than this share of the mask's area are filled. Larger ones may be real, such as a handle's opening."""
HOLE_PROBABILITY = 0.3
"""Larger holes are filled too if the network's mean probability in them is above this."""
CRUMB = 0.1
"""Pieces smaller than this share of the largest piece are dropped."""
TRUST_IOU = 0.75
"""A refined mask with a smaller IoU with the network's mask is discarded."""
FULL_SUPPORT = 0.6
"""Relative steepness along the border of a correct mask (0.60-0.67 on the coffee photo, 0.2-0.5 for leaking masks)."""
SAMPLE = 800
"""Number of pixels, inside and outside each, from which the initial colours are learned."""
SLACK = 0.02
"""A product may extend beyond the user's box by this share of the box's sides."""
WORK_PX = 192
"""Longest side of the crop on which GrabCut runs, because its time grows with the number of pixels."""


def refine(thumbnail: U8, probability: F32, photo: tuple[int, int]) -> U8:
    """The refined mask of the photo, uint8 HxW of 0 and 255.

    `thumbnail` is uint8 hxwx3 RGB. `probability` is the network's product probability, float32 hxw in 0..1. `photo` is
    the photo's size (H, W) in pixels.
    """
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
    """`probability` (float32 hxw) with 0 outside the box, which is enlarged by SLACK because it was drawn by hand.

    `box` is XYXY in photo pixels, and `photo` is the photo's size (H, W) in pixels.
    """
    height, width = probability.shape
    slack_x, slack_y = SLACK * (box[2] - box[0]), SLACK * (box[3] - box[1])
    across, down = width / photo[1], height / photo[0]
    x0, x1 = (min(width, max(0, round(x * across))) for x in (box[0] - slack_x, box[2] + slack_x))
    y0, y1 = (min(height, max(0, round(y * down))) for y in (box[1] - slack_y, box[3] + slack_y))
    kept = np.zeros_like(probability)
    kept[y0:y1, x0:x1] = probability[y0:y1, x0:x1]
    return kept


def box_fit(found: BoxXYXY, drawn: Box) -> float:
    """The intersection over union of a mask's bounding box and the user's box."""
    width = max(0.0, min(found[2], drawn[2]) - max(found[0], drawn[0]))
    height = max(0.0, min(found[3], drawn[3]) - max(found[1], drawn[1]))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (found, drawn)]
    return width * height / (sum(areas) - width * height)


def _surroundings(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1): the mask's box with a margin, in which GrabCut learns the background's colours."""
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
    """The refined mask of a crop, float32 hxw in 0..1, in which 0.5 is the border."""
    height, width = probability.shape
    scale = min(1.0, WORK_PX / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    likelihood = cv2.resize(probability, size, interpolation=cv2.INTER_AREA)
    coarse = (likelihood > 0.5).astype(np.uint8)
    band = max(3, round(BAND * max(size)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    trimap = np.where(coarse > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[(cv2.erode(coarse, kernel) > 0) & (likelihood > SURE)] = cv2.GC_FGD
    trimap[(cv2.dilate(coarse, kernel) == 0) & (likelihood < 1 - SURE)] = cv2.GC_BGD
    trimap[likelihood == 0] = cv2.GC_BGD  # outside the user's box
    if not (np.any(trimap == cv2.GC_FGD) and np.any(trimap == cv2.GC_BGD)):
        return probability
    background, product = _colours(small[coarse == 0]), _colours(small[coarse > 0])
    cv2.grabCut(small, trimap, (0, 0, 1, 1), background, product, ROUNDS, cv2.GC_EVAL)
    fine = _tidy(((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)).astype(np.uint8), likelihood)
    both, either = np.count_nonzero(fine & coarse), np.count_nonzero(fine | coarse)
    steepness = edge_steepness(small)
    if both < TRUST_IOU * either or _along_border(steepness, fine) <= _along_border(steepness, coarse):
        fine = _tidy(coarse, likelihood)
    smooth = cv2.GaussianBlur(fine.astype(np.float32), (0, 0), 1.0)  # no jagged border after the enlargement
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _colours(pixels: U8) -> NDArray[np.float64]:
    """An initial mixture of five Gaussians over Nx3 colours, in GrabCut's layout: 5 weights, 5 means, 5 covariances.

    GrabCut's own initialisation clusters every pixel, which takes longer than its cut. A sample gives the same quality.
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
    """How strong the photo's edges along the mask's border are, 0..1.

    It is 1 when the mean steepness along the border reaches FULL_SUPPORT times the 99th percentile of the photo.
    `steepness` is float32 hxw of the thumbnail. `mask` is uint8 HxW of the photo's size, 0 or 255.
    """
    height, width = steepness.shape
    small = (cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0).astype(np.uint8)
    steepest = float(np.percentile(steepness[::2, ::2], 99))  # a quarter of the pixels gives the same percentile
    return min(1.0, _along_border(steepness, small) / max(1e-6, FULL_SUPPORT * steepest))


def edge_steepness(picture: U8) -> F32:
    """The magnitude of the colour gradient at each pixel, float32 hxw, in the channel where it is largest."""
    soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
    across, down = (cv2.Sobel(soft, cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))
    red, green, blue = cv2.split(cv2.magnitude(across, down))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def _along_border(steepness: F32, mask: U8) -> float:
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return float(steepness[border].mean()) if border.any() else 0.0


def _tidy(mask: U8, likelihood: F32) -> U8:
    """Fill holes that are small or likely to be product, and drop small pieces. Returns uint8 hxw of 0 and 1."""
    area = np.count_nonzero(mask)
    count, holes, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    sizes = stats[:, cv2.CC_STAT_AREA]
    mean = np.bincount(holes.ravel(), likelihood.ravel(), count) / np.maximum(sizes, 1)
    framed = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))  # touch the crop's border
    fill = (sizes < HOLE * area) | (mean > HOLE_PROBABILITY)
    fill[framed] = sizes[framed] < HOLE * area
    fill[0] = False  # label 0 is the mask itself
    mask = np.where(fill[holes], 1, mask).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    sizes = stats[:, cv2.CC_STAT_AREA]
    drop = sizes < CRUMB * (sizes[1:].max() if count > 1 else 0)
    drop[0] = False
    return np.where(drop[pieces], 0, mask).astype(np.uint8)
