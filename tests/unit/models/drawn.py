"""Products drawn with exact masks at any size, as the failing photos of customers were, and what a network says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from packshot.models.segment.refine import DETAIL_PX, Guide, guide

Bools = Any
Drawing = Callable[[ImageDraw.ImageDraw, Callable[..., tuple[float, ...]]], None]


def bottle(pen: ImageDraw.ImageDraw, at: Callable[..., tuple[float, ...]]) -> None:
    pen.rounded_rectangle(at(620, 420, 980, 1040), at(60)[0], fill=255)
    pen.rectangle(at(720, 230, 880, 470), fill=255)


def bag(pen: ImageDraw.ImageDraw, at: Callable[..., tuple[float, ...]]) -> None:
    """A bag with a thin strap."""
    pen.rounded_rectangle(at(480, 560, 1120, 1060), at(50)[0], fill=255)
    pen.arc(at(600, 140, 1000, 1000), 180, 360, fill=255, width=round(at(16)[0]))


def ring(pen: ImageDraw.ImageDraw, at: Callable[..., tuple[float, ...]]) -> None:
    pen.ellipse(at(400, 200, 1200, 1000), fill=255)
    pen.ellipse(at(500, 300, 1100, 900), fill=0)


def three(pen: ImageDraw.ImageDraw, at: Callable[..., tuple[float, ...]]) -> None:
    for x in (350, 800, 1250):
        pen.ellipse(at(x - 150, 450, x + 150, 750), fill=255)


def drawn(draw: Drawing, width: int = 800, height: int = 600) -> Bools:
    """The mask of a drawing on a sheet of 1600x1200, bool HxW."""
    picture = Image.new("L", (width, height))
    draw(ImageDraw.Draw(picture), lambda *values: tuple(value * width / 1600 for value in values))
    return np.asarray(picture) > 127


def photographed(mask: Bools, product: Any, backdrop: Any) -> np.ndarray:
    """A photo, uint8 HxWx3: the product and its backdrop (each a colour or a picture), softened by a lens."""
    picture = np.where(mask[..., None], np.uint8(product), np.uint8(backdrop))
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(0.8)))


def planks(mask: Bools) -> np.ndarray:
    """A wooden wall of the mask's size."""
    shades = np.random.default_rng(0).normal(0, 1, (40, 3)).astype(np.float32)
    rows = cv2.resize(shades, mask.shape[::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    return np.clip(np.array([130, 95, 60]) + rows * np.array([30, 24, 18]), 0, 255).astype(np.uint8)


def seen(photo: np.ndarray, thumbnail_px: int = 512) -> Guide:
    def shrunk(longest_px: int) -> np.ndarray:
        scale = min(1.0, longest_px / max(photo.shape))
        return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

    return guide(shrunk(thumbnail_px), shrunk(DETAIL_PX))


def said(mask: Bools, looked: Guide, cells: int = 96, sureness: float = 1.0) -> np.ndarray:
    """What a small network would say of a mask: right, but on a coarse grid. float32 of the thumbnail's size."""
    height, width = looked.thumbnail.shape[:2]
    coarse = cv2.resize(mask.astype(np.float32), (cells, cells * height // width), interpolation=cv2.INTER_AREA)
    return cv2.resize(coarse * sureness, (width, height), interpolation=cv2.INTER_LINEAR)


def iou(one: Bools, other: Bools) -> float:
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def border_off_px(found: Bools, truth: Bools) -> float:
    """The mean distance of each mask's border to the other's, in pixels."""
    rows, columns = np.flatnonzero((found | truth).any(1)), np.flatnonzero((found | truth).any(0))
    around = np.s_[max(0, rows[0] - 9) : rows[-1] + 10, max(0, columns[0] - 9) : columns[-1] + 10]
    found, truth = found[around], truth[around]

    def ring_of(mask: Bools) -> Bools:
        whole = mask.astype(np.uint8)
        return (whole > 0) & (cv2.erode(whole, np.ones((3, 3), np.uint8), borderValue=1) == 0)

    def distances(one: Bools, other: Bools) -> np.ndarray:
        inside, outside = other.astype(np.uint8), (~other).astype(np.uint8)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(outside, cv2.DIST_L2, 5)
        return np.abs(depth[ring_of(one)] - 1)

    return float(np.concatenate([distances(found, truth), distances(truth, found)]).mean())
