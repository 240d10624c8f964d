"""The edge of the cutout: its alpha and its colours against exact ones.

Ten drawn scenes of SIZE_PX have exact alpha and exact product colours. Each is cut (`packshot.imaging.canvas.cut`) with
four masks: the true one, the true one with its border displaced by up to 2 and up to 4 px, and the one that the
segmenter finds by box.

- `alpha_mae`: mean |alpha - exact alpha|, 0..1, within ZONE_PX of the true border.
- `edge_on_white`, `edge_on_green`: mean CIEDE2000 between the cutout and the exact product on one colour, over the
  pixels that the product covers in part. `zone_on_green`: the same over all pixels within ZONE_PX of the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from packshot.imaging.canvas import cut, cutout_bbox
from packshot.imaging.lock import lock_px_of
from packshot.types import Mask, Photo
from training.mini.evaluation.colour import GREEN, WHITE, Floats, delta_e, over
from training.mini.evaluation.masks import Segmenter
from training.mini.evaluation.pointing import box_of
from training.scenes import render

U8 = NDArray[np.uint8]
Bits = NDArray[np.bool_]
SCENES, SIZE_PX = 997_000, 384
OPAQUE = ("matte", "gloss", "metal")
"""Glass has no colour of its own: what is behind it is in its exact colours."""
ZONE_PX = 4.0
OFF_PX = (0, 2, 4)
WAVE_PX = 16.0
"""A displaced border waves with this length (the Gaussian's sigma)."""


@dataclass(frozen=True)
class ExactCut:
    """A photo (uint8 HxWx3), its product's exact alpha (float HxW) and colours times alpha (float HxWx3), 0..1."""

    photo: U8
    alpha: Floats
    colours: Floats

    @property
    def product(self) -> Bits:
        """The pixels of which the product covers at least half, bool HxW."""
        return self.alpha >= 0.5


def exact_cuts(count: int, size_px: int = SIZE_PX) -> list[ExactCut]:
    """`count` drawn scenes of a side of `size_px` without clutter, of products that hide what is behind them."""
    batches = (render(1, size_px, SCENES + number, clutter=0.0, materials=OPAQUE) for number in range(count))
    return [ExactCut(*(layer[0].numpy() for layer in (one.image, one.mask, one.product))) for one in batches]


def depth_px(mask: Bits) -> NDArray[np.float32]:
    """The distance of each pixel to the mask's border, in pixels: positive inside, negative outside."""
    inside, outside = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for side in (mask, ~mask)
    )
    return np.asarray(inside - outside, np.float32)


def displaced(mask: Bits, off_px: float, seed: int) -> Bits:
    """The mask with its border moved in and out in waves, at most by `off_px`."""
    noise = np.random.default_rng(seed).standard_normal(mask.shape).astype(np.float32)
    waves = cv2.GaussianBlur(noise, (0, 0), WAVE_PX)
    return np.asarray(depth_px(mask) > off_px * waves / np.abs(waves).max()) if off_px else mask


def cut_at_place(photo: U8, mask: Bits) -> U8:
    """The cutout of a photo (uint8 HxWx3) at its place: uint8 HxWx4, all transparent for an empty mask."""
    if not mask.any():
        return np.zeros((*mask.shape, 4), np.uint8)
    whole, lock_px = Mask(mask.astype(np.uint8) * 255), lock_px_of(mask.shape[1], mask.shape[0])
    x0, y0, x1, y1 = cutout_bbox(whole, lock_px)
    page = np.zeros((*mask.shape, 4), np.uint8)
    page[y0:y1, x0:x1] = cut(Photo(photo), whole, lock_px).pixels
    return page


def alpha_error(found: Floats, exact: Floats, zone_px: float = ZONE_PX) -> float:
    """The mean |found - exact| of two alphas (float HxW, 0..1) within `zone_px` of the exact one's border at 0.5."""
    zone = np.abs(depth_px(exact >= 0.5)) <= zone_px
    return float(np.abs(found - exact)[zone].mean())


def edge_errors(found: U8, exact: ExactCut) -> dict[str, float]:
    """The figures of the module's docstring for one cutout at its place (uint8 HxWx4, straight)."""
    alpha = found[..., 3] / 255
    zone = np.abs(depth_px(exact.product)) <= ZONE_PX
    edge = (exact.alpha > 0) & (exact.alpha < 1)
    straight = found[..., :3] / 255 * alpha[..., None]
    apart = {
        name: delta_e(over(straight, alpha, colour), over(exact.colours, exact.alpha, colour))
        for name, colour in (("white", WHITE), ("green", GREEN))
    }
    return {
        "alpha_mae": alpha_error(alpha, exact.alpha),
        "edge_on_white": float(apart["white"][edge].mean()),
        "edge_on_green": float(apart["green"][edge].mean()),
        "zone_on_green": float(apart["green"][zone].mean()),
    }


def cutout_figures(segmenter: Segmenter, count: int) -> dict[str, object]:
    """The mean errors over `count` scenes for each mask (`off_0`, `off_2`, `off_4`, `by_box`).

    `worst` holds the largest error of the first three.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for number, exact in enumerate(exact_cuts(count)):
        masks = {f"off_{off}": displaced(exact.product, off, number) for off in OFF_PX}
        answer = segmenter.segment(segmenter.encode(exact.photo), box=box_of(exact.product))[0]
        masks["by_box"] = answer.mask.pixels > 0
        for name, mask in masks.items():
            found.setdefault(name, []).append(edge_errors(cut_at_place(exact.photo, mask), exact))
    figures = {name: _means(errors) for name, errors in found.items()}
    given = [figures[f"off_{off}"] for off in OFF_PX]
    return figures | {"worst": {name: max(row[name] for row in given) for name in given[0]}, "scenes": count}


def _means(errors: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([row[name] for row in errors])), 4) for name in errors[0]}
