"""Move the border of a coarse mask to the photo's edges.

A small network finds the product, but each cell of its mask covers several photo pixels. Three steps follow, coarse to
fine, because each costs more for a pixel than the one before and needs fewer pixels:

1. GrabCut on a small crop learns the colours inside and outside of the mask, and decides what belongs to the product.
   It changes only a band around the border and pixels in which the network is unsure. Its mask is discarded if its
   border lies on weaker edges than the network's own, or if it differs too much from the network's mask.
2. Before a plain backdrop (`backdrop`) the photo itself shows openings, straps and pieces (`pieces`).
3. The border moves to the photo's edges at the photo's resolution (`border`). Where it follows an ellipse for the most
   part, its other parts follow it too (`ellipses`).

What a box's mask holds of the ground is cut (`ground`): outside of the box there is only ground.

A pack enables this with `refine: grabcut` in the segmenter's config.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.models.segment.backdrop import Backdrop, Bools, plain_backdrop
from packshot.models.segment.border import borders, filled, scaled, snapped
from packshot.models.segment.ellipses import rounded
from packshot.models.segment.glass import is_glass
from packshot.models.segment.ground import with_openings, without_ground, without_leak
from packshot.models.segment.pieces import (
    CRUMB,
    HOLE,
    HOLE_PROBABILITY,
    TRUST_IOU,
    Click,
    extent,
    opened,
    pieces_before,
    pieces_of,
    without_holes,
    without_shadow,
)
from packshot.types import F32, U8

Box = tuple[float, float, float, float]
"""A box XYXY in photo pixels, as the user drew it."""

SURE = 0.7
"""Outside the band, GrabCut may not change pixels with at least this probability of product or of background."""
BAND = 0.03
"""Half of the band's width, as a share of the crop's longer side; at least 3 px."""
ROUNDS = 1
"""Iterations of GrabCut."""
PINHOLE = 0.001
"""Holes smaller than this share of the mask's area are filled."""
OPENING_PROBABILITY = 0.5
"""Larger holes, such as a handle's opening, are filled if the mean probability is above this."""
DOUBTFUL_CRUMB = 0.1
"""Pieces smaller than this are dropped if the network's mean probability in them is below SURE."""
BACKDROP_REACH_PX = 2
"""By how many pixels of the thumbnail the border of what stands before a plain backdrop may be off."""
FULL_SUPPORT = 0.6
"""Relative steepness along the border of a correct mask (0.60-0.67 on the coffee photo, 0.2-0.5 for leaking masks)."""
SAMPLE = 800
"""Number of pixels, inside and outside each, from which the initial colours are learned."""
SLACK = 0.02
"""A product may extend beyond the user's box by this share of the box's sides."""
FRAME_PX = 3
"""A box that ends at least this many pixels of the thumbnail before the frame ends the product before the frame."""
SEED = 0.01
"""Radius of what a click marks, as a share of the crop's longer side."""
WORK_PX = 192
"""Longest side of the crop on which GrabCut runs, because its time grows with the number of pixels."""
ONE_LEVEL = 1.5
"""A picture larger than the thumbnail by at most this factor needs no step between them."""
CLEANER, CLEANED_FIT = 1.06, 0.06
"""A mask without the ground's colours lies on edges that are steeper by this factor, and its IoU with the user's box is
smaller by this at most."""
MOSTLY_LIT = 0.6
"""At least this share of a mask, and of its box, is left without its shadow. Else a grey product was taken for one."""
CLEARLY_CLEANER = 1.3
"""A mask on so much steeper edges is taken even if it fits the box less well."""
LONG_PX = 500
"""Borders of more pixels of the thumbnail are long."""
DETAIL_PX = 1536
"""Longest side of the picture on which the border is placed last, to about a fifth of its pixels."""


@dataclass(frozen=True)
class Guide:
    """What a photo shows about borders, computed once for all of a click's candidates.

    `thumbnail` and `detail` are the photo in two sizes, uint8 hxwx3 RGB. `steepness` is float32 of the thumbnail's
    size, `steepest` its 99th percentile, and `backdrop` the thumbnail's plain backdrop, if it has one.
    """

    thumbnail: U8
    detail: U8
    steepness: F32
    steepest: float
    backdrop: Backdrop | None


@dataclass(frozen=True)
class Shape:
    """What belongs to the product, before its border is placed on the photo's edges.

    `mask` is bool hxw of the thumbnail's size, and its border is off by at most `reach_px` of its pixels. `support` is
    the strength of the photo's edges along the border, 0..1. `other` is the same product with other openings: filled
    ones that are open in `mask`, or the reverse. It is None unless the photo leaves that in doubt. `rough` is True when
    GrabCut was left out, and would have its say. `corrected` is True when clicks mended the mask of an earlier answer:
    its border then follows no ellipse, because a person has judged it.
    """

    mask: Bools
    reach_px: int = 0
    support: float = 1.0
    other: Bools | None = None
    glass: bool = False
    rough: bool = False
    corrected: bool = False

    def bbox_xyxy(self, photo: tuple[int, int]) -> Box:
        """The mask's bounding box in pixels of a photo of size (H, W); all 0 when the mask is empty."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        if rows.size == 0:
            return (0.0, 0.0, 0.0, 0.0)
        down, across = photo[0] / self.mask.shape[0], photo[1] / self.mask.shape[1]
        return (columns[0] * across, rows[0] * down, (columns[-1] + 1) * across, (rows[-1] + 1) * down)


def union(shapes: Sequence[Shape]) -> Shape:
    """The union of a product's parts. Only a single part keeps its alternative."""
    if len(shapes) == 1:
        return shapes[0]
    mask = np.logical_or.reduce([part.mask for part in shapes])
    return Shape(mask, max(part.reach_px for part in shapes), min(part.support for part in shapes))


def guide(thumbnail: U8, detail: U8 | None = None) -> Guide:
    """The guide of a photo. Without `detail` the thumbnail is all that is known of it."""
    steepness = edge_steepness(thumbnail)
    steepest = float(np.percentile(steepness[::2, ::2], 99))  # a quarter of the pixels gives the same percentile
    return Guide(thumbnail, thumbnail if detail is None else detail, steepness, steepest, plain_backdrop(thumbnail))


def refine(
    seen: Guide, probability: F32, photo: tuple[int, int], *, boxed: bool = False, clicks: Sequence[Click] = ()
) -> U8:
    """The refined mask of the photo, uint8 HxW of 0 and 255: `shape`, then `place`."""
    found = shape(seen, probability, boxed=boxed, clicks=clicks)
    return place(seen, found.mask, found.reach_px, photo)


def shape(
    seen: Guide, probability: F32, *, boxed: bool = False, clicks: Sequence[Click] = (), rough: bool = False
) -> Shape:
    """Decide what belongs to the product, without GrabCut if `rough`, in a fifth of the time.

    `probability` is the network's product probability, float32 hxw of the thumbnail's size in 0..1. `boxed` is whether
    the user drew a box around the product; it is then 0 outside the box. `clicks` are in pixels of the thumbnail. What
    a person clicked on is not in doubt.
    """
    coarse = probability > 0.5
    if not coarse.any() or coarse.all():
        return Shape(coarse, 0, edge_support(seen, coarse))
    solid = None if seen.backdrop is None else pieces_before(seen.backdrop, probability, boxed, clicks)
    if solid is not None:
        mask, reach_px, rough = solid, BACKDROP_REACH_PX, False
    else:
        y0, y1, x0, x1 = _surroundings(coarse)
        mask = np.zeros_like(coarse)
        picture = np.ascontiguousarray(seen.thumbnail[y0:y1, x0:x1])
        own = [(x - x0, y - y0, label) for x, y, label in clicks]
        mask[y0:y1, x0:x1], reach_px = _on_edges(picture, probability[y0:y1, x0:x1], own, boxed=boxed, rough=rough)
    other, glass = None, False
    if seen.backdrop is not None:
        outline = without_holes(mask)
        glass = is_glass(outline, seen.backdrop, seen.steepness)
        mask, other = (outline, None) if glass else opened(mask, probability, seen.backdrop, clicks)
        if not glass:
            shade = mask & ~_lit(seen, seen.backdrop, mask)
            mask, other = mask & ~shade, None if other is None else other & ~shade
    return Shape(mask, reach_px, edge_support(seen, mask), other, glass, rough)


def _lit(seen: Guide, backdrop: Backdrop, mask: Bools) -> Bools:
    """The mask without its shadow on the backdrop, if its border lies on stronger edges then; else the mask itself."""
    lit = without_shadow(mask, backdrop, seen.steepness) if mask.any() else mask
    if lit is mask or np.count_nonzero(lit) < MOSTLY_LIT * np.count_nonzero(mask):
        return mask
    before, after = (_along_border(seen.steepness, part.astype(np.uint8)) for part in (mask, lit))
    fits = box_fit(_bbox_xyxy(lit), _bbox_xyxy(mask)) >= MOSTLY_LIT
    return lit if fits and after >= CLEANER * before else mask


def place(
    seen: Guide, mask: Bools, reach_px: int, photo: tuple[int, int], *, ellipses: bool = True, hasty: bool = False
) -> U8:
    """Place the mask's border on the photo's edges: uint8 HxW of 0 and 255, of the photo's size (H, W) `photo`.

    `mask` is bool hxw of the thumbnail's size. Its border moves by at most `reach_px` of its pixels. With
    `ellipses` it is mended where it follows one, and may move farther there. If `hasty`, a long border is looked at
    only half as often.
    """
    if not mask.any() or mask.all():
        return np.full(photo, 255 if mask.any() else 0, np.uint8)
    coarse, fine = seen.thumbnail.shape[:2], seen.detail.shape[:2]
    lines, ratio = borders(mask), max(fine) / max(coarse)
    step_px = 2.0 if hasty and sum(map(len, lines)) > LONG_PX else 1.0
    if ratio > ONE_LEVEL:
        lines = snapped(lines, seen.thumbnail, reach_px, step_px=step_px)
        lines = rounded(lines, seen.steepness) if ellipses else lines
        lines = snapped(scaled(lines, coarse, fine), seen.detail, 1 + math.ceil(ratio), step_px=2 * step_px)
    else:
        lines = snapped(scaled(lines, coarse, fine), seen.detail, math.ceil(ratio * reach_px), step_px=step_px)
        lines = rounded(lines, cv2.resize(seen.steepness, fine[::-1])) if ellipses else lines
    return filled(scaled(lines, fine, photo), photo)


def within_box(probability: F32, box: Box, photo: tuple[int, int]) -> F32:
    """`probability` (float32 hxw) with 0 outside the box, which is enlarged by SLACK because it was drawn by hand.

    `box` is XYXY in photo pixels, and `photo` is the photo's size (H, W) in pixels.
    """
    height, width = probability.shape
    slack_x, slack_y = SLACK * (box[2] - box[0]), SLACK * (box[3] - box[1])
    across, down = width / photo[1], height / photo[0]

    def ends(first: float, last: float, slack: float, scale: float, side: int) -> tuple[int, int]:
        least = FRAME_PX if first * scale >= FRAME_PX else 0
        most = side - FRAME_PX if last * scale <= side - FRAME_PX else side
        return max(least, round((first - slack) * scale)), min(most, round((last + slack) * scale))

    x0, x1 = ends(box[0], box[2], slack_x, across, width)
    y0, y1 = ends(box[1], box[3], slack_y, down, height)
    kept = np.zeros_like(probability)
    kept[y0:y1, x0:x1] = probability[y0:y1, x0:x1]
    return kept


def box_fit(found: Box, drawn: Box) -> float:
    """The intersection over union of a mask's bounding box and the user's box."""
    width = max(0.0, min(found[2], drawn[2]) - max(found[0], drawn[0]))
    height = max(0.0, min(found[3], drawn[3]) - max(found[1], drawn[1]))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (found, drawn)]
    return width * height / (sum(areas) - width * height)


def _surroundings(mask: Bools) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1): the mask's box with a margin, in which GrabCut learns the background's colours."""
    y0, y1, x0, x1 = extent(mask)
    margin = max(12, int(0.15 * max(y1 - y0 - 1, x1 - x0 - 1)))
    height, width = mask.shape
    return max(0, y0 - margin), min(height, y1 + margin), max(0, x0 - margin), min(width, x1 + margin)


def _on_edges(
    picture: U8, probability: F32, clicks: Sequence[Click] = (), *, boxed: bool = False, rough: bool = False
) -> tuple[Bools, int]:
    """The refined mask of a crop, bool hxw, and by how many of the crop's pixels its border may be off.

    `clicks` are in pixels of the crop. If `rough`, the mask is only tidied.
    """
    height, width = probability.shape
    scale = min(1.0, WORK_PX / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    likelihood = cv2.resize(probability, size, interpolation=cv2.INTER_AREA)
    fine = _tidy((likelihood > 0.5).astype(np.uint8), likelihood)
    if not rough:
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        marked = [(x * scale, y * scale, label) for x, y, label in clicks]
        fine = _cut(small, likelihood, fine, marked)
        cleaned = without_ground(small, likelihood) if boxed else None
        if cleaned is not None:
            tidy = _tidy((cleaned > 0.5).astype(np.uint8), cleaned)
            fine = _better(fine, _cut(small, cleaned, tidy, marked), small, likelihood)
        fine = without_leak(fine, likelihood, edge_steepness(small)) if boxed else fine
    smooth = cv2.GaussianBlur(fine.astype(np.float32), (0, 0), 0.6)  # a strap of one pixel stays above 0.5
    return cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5, 1 + round(1.5 / scale)


def _cut(small: U8, likelihood: F32, tidy: U8, clicks: Sequence[Click]) -> U8:
    """GrabCut's mask, uint8 hxw of 0 and 1, or the network's mask `tidy`, whichever lies on the stronger edges."""
    coarse = (likelihood > 0.5).astype(np.uint8)
    band = max(3, round(BAND * max(coarse.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
    trimap = np.where(coarse > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[(cv2.erode(coarse, kernel) > 0) & (likelihood > SURE)] = cv2.GC_FGD
    trimap[(cv2.dilate(coarse, kernel) == 0) & (likelihood < 1 - SURE)] = cv2.GC_BGD
    trimap[likelihood == 0] = cv2.GC_BGD  # outside the user's box
    for x, y, label in clicks:
        marked = cv2.GC_FGD if label == 1 else cv2.GC_BGD
        cv2.circle(trimap, (int(x), int(y)), round(SEED * max(coarse.shape)), int(marked), cv2.FILLED)
    if not (np.any(trimap == cv2.GC_FGD) and np.any(trimap == cv2.GC_BGD)):
        return tidy
    background, product = _colours(small[coarse == 0]), _colours(small[coarse > 0])
    cv2.grabCut(small, trimap, (0, 0, 1, 1), background, product, ROUNDS, cv2.GC_EVAL)
    fine = _tidy(((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)).astype(np.uint8), likelihood)
    both, either = np.count_nonzero(fine & coarse), np.count_nonzero(fine | coarse)
    steepness = edge_steepness(small)
    strays = both < TRUST_IOU * either or _along_border(steepness, fine) <= _along_border(steepness, coarse)
    return tidy if strays else fine


def _better(mask: U8, other: U8, picture: U8, likelihood: F32) -> U8:
    """`other` where it lies on clearly stronger edges than `mask`, and still fits the user's box; else `mask`, opened.

    Masks are uint8 hxw of 0 and 1; `other` is that without the ground's colours. `likelihood` is 0 outside the box.
    """
    if not (mask.any() and other.any()):
        return mask
    steepness = edge_steepness(picture)
    border = _along_border(steepness, mask)
    stronger = _along_border(steepness, other) / max(1e-6, border)
    drawn, found, cleaned = (_bbox_xyxy(part > 0) for part in (likelihood, mask, other))
    fits = box_fit(cleaned, drawn) >= box_fit(found, drawn) - CLEANED_FIT
    if stronger >= CLEARLY_CLEANER or (fits and stronger >= CLEANER):
        return other
    return with_openings(mask, other, likelihood, steepness, border)


def _bbox_xyxy(mask: Bools) -> Box:
    y0, y1, x0, x1 = extent(mask)
    return (x0, y0, x1, y1)


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


def edge_support(seen: Guide, mask: Bools) -> float:
    """How strong the photo's edges along the mask's border are, 0..1. `mask` is bool hxw of the thumbnail's size.

    It is 1 when the mean steepness along the border reaches FULL_SUPPORT times the 99th percentile of the photo.
    """
    return min(1.0, _along_border(seen.steepness, mask.astype(np.uint8)) / max(1e-6, FULL_SUPPORT * seen.steepest))


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
    holes, sizes, mean = pieces_of(1 - mask, likelihood)
    framed = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))  # touch the crop's border
    fill = (sizes < PINHOLE * area) | (mean > np.where(sizes < HOLE * area, HOLE_PROBABILITY, OPENING_PROBABILITY))
    fill[framed] = sizes[framed] < HOLE * area
    fill[0] = False  # label 0 is the mask itself
    if fill.any():
        mask = mask | fill[holes]
    pieces, sizes, mean = pieces_of(mask, likelihood)
    largest = sizes[1:].max() if len(sizes) > 1 else 0
    drop = (sizes < CRUMB * largest) | ((sizes < DOUBTFUL_CRUMB * largest) & (mean < SURE))
    drop[0] = False
    return np.asarray(mask & ~drop[pieces] if drop.any() else mask, np.uint8)
